"""`ProbeClassifier` is a scikit-learn classifier over tokens."""

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import parallel_backend
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from toolkit_common.config import field_extra
from toolkit_common.errors import InputError
from toolkit_probing import ProbeClassifier
from toolkit_probing.hold_out import hold_out
from toolkit_probing.settings import TRAINING, ProbeSettings

README = Path(__file__).parents[2] / "packages/probing/README.md"
SMALL = {"options": {"num_queries": 2}, "epochs": 5, "lr": 0.03, "c": 1.0}
TRAINED = SMALL | {"classifier": "trained", "epochs": 20}


def make_tokens(rows: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """One token of each row says its class, at a random place: attention finds it."""
    rng = np.random.default_rng(0)
    tokens = rng.normal(size=(rows, 5, 8)).astype(np.float32)
    targets = np.arange(rows) % 3
    tokens[np.arange(rows), rng.integers(5, size=rows)] += 6 * np.eye(8)[targets]
    return tokens, np.array(["ash", "birch", "cedar"])[targets]


@pytest.mark.parametrize("method", ["ep", "linear"])
def test_it_learns_and_gives_probabilities_of_named_classes(method: str):
    tokens, labels = make_tokens()
    options = SMALL if method == "ep" else SMALL | {"options": None}
    probe = ProbeClassifier(method, **options).fit(tokens[:45], labels[:45])
    assert list(probe.classes_) == ["ash", "birch", "cedar"]
    assert probe.score(tokens[45:], labels[45:]) > 0.8
    probabilities = probe.predict_proba(tokens[45:])
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    assert (probe.predict(tokens[45:]) == probe.classes_[probabilities.argmax(1)]).all()


@pytest.mark.slow
def test_torch_and_numpy_tokens_give_the_same_fit():
    tokens, labels = make_tokens()
    one = ProbeClassifier(**SMALL).fit(tokens, labels)
    other = ProbeClassifier(**SMALL).fit(torch.from_numpy(tokens), labels)
    np.testing.assert_array_equal(one.predict_proba(tokens), other.predict_proba(tokens))


@pytest.mark.slow
@pytest.mark.parametrize("as_torch", [True, False])
def test_it_works_in_cross_validation_and_grid_search(as_torch: bool):
    tokens, labels = make_tokens()
    inputs = torch.from_numpy(tokens) if as_torch else tokens
    scores = cross_val_score(ProbeClassifier(**SMALL), inputs, labels, cv=3)
    assert scores.mean() > 0.8
    # A fitted classifier does as well before a step as after it.
    rates = {"lr": [1e-6, 0.03]}
    search = GridSearchCV(ProbeClassifier(**TRAINED), rates, cv=2).fit(inputs, labels)
    assert search.best_params_ == {"lr": 0.03}


def test_a_clone_has_the_same_parameters_and_no_fit():
    probe = ProbeClassifier(**SMALL)
    copied = clone(probe.fit(*make_tokens()))
    assert copied.get_params() == probe.get_params()
    with pytest.raises(NotFittedError):
        copied.predict(make_tokens()[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": np.zeros((4, 2, 8, 1))}, r"tokens\.shape=\(4, 2, 8, 1\)|dim 4"),
        ({"tokens": np.zeros((4, 8))}, r"ep pools tokens \(rows, tokens, width\), got \(4, 8\)"),
        ({"tokens": np.full((4, 5, 8), np.nan)}, "NaN or infinity, first in row 0"),
        ({"labels": np.zeros(3)}, r"shape \(4,\), got \(3,\)"),
        ({"labels": np.zeros(4)}, "at least two classes, got one class, 0.0"),
        ({"labels": None}, "requires y to be passed, but the target y is None"),
        ({"weights": np.ones(3)}, r"sample_weight must have the shape \(4,\), got \(3,\)"),
        ({"weights": [1, 1, 1, -1]}, "sample_weight must be .* at least zero, .* got -1 to 1"),
        ({"weights": [0, 0, 0, 0]}, "sample_weight must be .*, some above, got 0 to 0"),
        ({"method": "eq"}, "unknown method 'eq'; did you mean 'ep'"),
        ({"method": "cls"}, "unknown method 'cls'.*linear"),
        ({"method": "knn", "options": {"k": 0}}, "knn.k: .* got 0"),
        (
            {"method": "logreg", "validation_fraction": None},
            r"there is one setting, got 13: \(0.0001,\), ",
        ),
        ({"options": {"num_querys": 3}}, "unknown option of ep 'num_querys'; did you mean"),
        ({"options": {"num_queries": 3}}, "num_queries=3; choose num_queries from: 1, 2, 4, 8"),
        ({"grid": (2, 2)}, r"grid of 5 tokens, got grid=\(2, 2\)"),
        ({"select_by": "log_los"}, "unknown metric 'log_los'; did you mean 'log_loss'"),
        ({"validation_fraction": 0.7}, "validation_fraction must be .* at most 0.5, got 0.7"),
        (
            {"validation_fraction": None, "c": 1.0},
            r"one lr, one c and no groups, got lr=\(0.0001, .*, 0.03\)$",
        ),
        (
            {"validation_fraction": None, "method": "linear", "c": [0.1, 1]},
            r"one lr, one c and no groups, got c=\(0.1, 1.0\)$",
        ),
        (
            {"validation_fraction": None, "lr": 0.1, "classifier": "trained", "groups": [1] * 4},
            "one lr, one c and no groups, got groups$",
        ),
        ({"groups": [1] * 4}, "validation_fraction=0.2 can hold no row out without taking"),
        ({"labels": np.array([0, 0, 0, 1]), "select_by": "auroc"}, "select_by='auroc' is undef"),
    ],
)
def test_bad_input_is_named(change: dict, message: str):
    tokens = change.pop("tokens", np.zeros((4, 5, 8)))
    labels = change.pop("labels", np.array([0, 1, 0, 1]))
    rows = {"groups": change.pop("groups", None), "sample_weight": change.pop("weights", None)}
    with pytest.raises(ValueError, match=message):
        ProbeClassifier(**change).fit(tokens, labels, **rows)


def test_a_head_that_diverges_is_no_classifier():
    tokens, labels = make_tokens()
    with pytest.raises(InputError, match=r"the head has diverged with lr=1e\+30: lower it"):
        ProbeClassifier(**TRAINED | {"lr": 1e30, "optimizer": "sgd"}).fit(tokens, labels)
    alone = {"lr": 1e30, "optimizer": "sgd", "validation_fraction": None}
    with pytest.raises(InputError, match=r"the head has diverged with lr=1e\+30: lower it"):
        ProbeClassifier(**SMALL | alone).fit(tokens, labels)


@pytest.mark.parametrize("method", ["ep", "linear"])
def test_tokens_too_large_to_be_fitted_are_named_not_a_rate(method):
    tokens, labels = make_tokens()
    options = {"num_queries": 2} if method == "ep" else None
    probe = ProbeClassifier(**SMALL | {"method": method, "options": options})
    with pytest.raises(InputError, match="tokens are too large to be fitted in fp32: scale them"):
        probe.fit(tokens * 1e25, labels)


def test_where_steps_diverge_the_fitted_start_is_kept():
    tokens, labels = make_tokens()
    probe = ProbeClassifier(**SMALL | {"lr": 1e30, "optimizer": "sgd"}).fit(tokens, labels)
    assert (probe.n_iter_, probe.C_, probe.lr_) == (0, 1.0, None)
    assert probe.score(tokens, labels) > 0.8


NEEDS_A_TEST_SPLIT = {"select_on"}
NEEDS_AN_ENCODER = {"augment", "views"}


def test_every_training_option_of_the_command_is_a_parameter_with_its_default():
    options = {
        name: field.default for name, field in ProbeSettings.model_fields.items()
        if field_extra(field)["panel"] == TRAINING
    }  # fmt: skip
    ours = ProbeClassifier().get_params()
    assert options.keys() - NEEDS_A_TEST_SPLIT - NEEDS_AN_ENCODER <= ours.keys()
    ours["class_weight"] = ours["class_weight"] or "none"  # None is scikit-learn's word
    assert ours == ours | {name: value for name, value in options.items() if name in ours}


@pytest.mark.slow
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_linear_is_logistic_regression_and_ep_no_worse(class_weight: str | None):
    """Of scikit-learn's digits a token is a row of eight pixels."""
    digits = load_digits()
    tokens, labels = digits.images.astype(np.float32), digits.target
    # Unbalanced, so that class weights matter.
    kept = np.flatnonzero((labels > 4) | (np.arange(len(labels)) % 4 == 0))
    train, test = kept[::2], kept[1::2]
    regression = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.5, max_iter=1000, class_weight=class_weight)
    ).fit(tokens[train].mean(1), labels[train])
    expected = log_loss(labels[test], regression.predict_proba(tokens[test].mean(1)))

    def loss(**options: Any) -> float:
        probe = ProbeClassifier(**options, c=0.5, class_weight=class_weight)
        read = probe.fit(tokens[train], labels[train]).predict_proba(tokens[test])
        return float(log_loss(labels[test], read))

    assert loss(method="linear", validation_fraction=None) == pytest.approx(expected, abs=1e-3)
    assert loss(options={"num_queries": 4}, lr=0.01, epochs=5) <= expected


@pytest.mark.slow
def test_rate_epoch_and_c_are_picked_on_rows_that_are_held_out():
    tokens, labels = make_tokens()
    grids = {"lr": (1e-6, 0.03), "c": (1e-4, 1.0)}
    probe = ProbeClassifier(**SMALL | grids).fit(tokens, labels)
    targets = np.unique(labels, return_inverse=True)[1]
    held_out = hold_out(targets, None, share=0.2, seed=0)
    picked = log_loss(labels[held_out], probe.predict_proba(tokens[held_out]))
    assert probe.validation_score_ == pytest.approx(-picked, abs=1e-5)
    for name, value in [("lr", 1e-6), ("lr", 0.03), ("c", 1e-4), ("c", 1.0)]:
        alone = ProbeClassifier(**SMALL | grids | {name: value}).fit(tokens, labels)
        # L-BFGS ends elsewhere, within its tolerance, where a stronger penalty went before.
        assert alone.validation_score_ <= probe.validation_score_ + 1e-5
    assert (probe.lr_, probe.C_) == (0.03, 1.0)
    assert 1 <= probe.n_iter_ <= 5
    # What was held out was not learned from.
    others = tokens.copy()
    others[held_out] = tokens[held_out[::-1]]
    again = ProbeClassifier(**SMALL | {"epochs": 1, "method": "linear", "options": None})
    one, other = (clone(again).fit(these, labels) for these in (tokens, others))
    np.testing.assert_array_equal(one.predict_proba(tokens), other.predict_proba(tokens))


def test_linear_has_no_rate_and_a_trained_classifier_no_c():
    tokens, labels = make_tokens()
    linear = SMALL | {"method": "linear", "options": None}
    probe = ProbeClassifier(**linear).fit(tokens, labels)
    assert (probe.lr_, probe.C_, probe.n_iter_) == (None, 1.0, 0)
    probe = ProbeClassifier(**linear | {"classifier": "trained"}).fit(tokens, labels)
    assert (probe.lr_, probe.C_) == (0.03, None)
    assert probe.n_iter_ >= 1


def test_without_rows_that_pick_all_epochs_are_trained():
    tokens, labels = make_tokens()
    probe = ProbeClassifier(**SMALL, validation_fraction=None).fit(tokens, labels)
    assert (probe.lr_, probe.C_, probe.n_iter_) == (0.03, 1.0, 5)
    assert probe.validation_score_ is None
    assert probe.score(tokens, labels) > 0.8


def test_a_class_of_one_row_is_learned():
    tokens, labels = make_tokens()
    labels[7] = "yew"
    probe = ProbeClassifier(**SMALL).fit(tokens, labels)
    assert list(probe.classes_) == ["ash", "birch", "cedar", "yew"]
    counts = np.exp(probe.head_.classifier.bias.detach().numpy())
    assert np.isfinite(counts).all()


@pytest.mark.slow
def test_groups_reach_a_fit_within_a_search():
    tokens, labels = make_tokens()
    groups = np.arange(60) // 3
    with config_context(enable_metadata_routing=True):
        probe = ProbeClassifier(**SMALL).set_fit_request(groups=True)
        search = GridSearchCV(probe, {"c": [0.1, 1.0]}, cv=GroupKFold(2))
        search.fit(tokens, labels, groups=groups)
    assert search.best_score_ > 0.8
    one, other = (ProbeClassifier(**SMALL).fit(tokens, labels, groups=g) for g in (groups, None))
    assert not np.array_equal(one.predict_proba(tokens), other.predict_proba(tokens))


@pytest.mark.slow
def test_a_micro_batch_changes_memory_alone():
    tokens, labels = make_tokens()
    whole, cut = (
        ProbeClassifier(**SMALL, micro_batch=size).fit(tokens, labels).predict_proba(tokens)
        for size in (None, 4)
    )
    np.testing.assert_allclose(cut, whole, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, r"epochs: input should be greater than or equal to 1, got 0"),
        ({"optimizer": "adam"}, r"optimizer: input should be 'adamw', 'lars' or 'sgd', got 'adam'"),
        ({"batch_size": 1}, r"batch_size: input should be .* 2, got 1 \(from ProbeClassifier\)"),
        ({"lr": -1.0}, r"lr: input should be greater than 0"),
        ({"lr": 0}, r"^lr: input should be greater than 0, got 0 \(from ProbeClassifier\)$"),
        ({"lr": []}, "lr: "),
        ({"c": [1.0, -1.0]}, "c: input should be greater than 0, got -1.0"),
        (
            {"class_weight": "even"},
            "class_weight: input should be 'none' or 'balanced', got 'even'",
        ),
        ({"classifier": "fit"}, "classifier: input should be 'fitted' or 'trained', got 'fit'"),
    ],
)
def test_parameters_are_checked_as_the_command_checks_its_options(change, message):
    with pytest.raises(InputError, match=message):
        ProbeClassifier(**SMALL | change).fit(*make_tokens())


@pytest.mark.slow
def test_parameters_may_be_numbers_of_numpy():
    tokens, labels = make_tokens()
    numbers = {"epochs": np.int64(5), "lr": np.float32(0.5), "random_state": np.int64(0)}
    grid = {"c": np.array([0.5, 1.0])}
    one = ProbeClassifier(**SMALL).set_params(**numbers, **grid).fit(tokens, labels)
    other = ProbeClassifier(**SMALL | {"lr": 0.5, "c": (0.5, 1.0)}).fit(tokens, labels)
    np.testing.assert_array_equal(one.predict_proba(tokens), other.predict_proba(tokens))


@pytest.mark.slow
def test_a_random_state_gives_each_fit_a_seed_of_its_own():
    tokens, labels = make_tokens()

    def fits(state):
        probe = ProbeClassifier(**SMALL).set_params(random_state=state)
        return [probe.fit(tokens, labels).predict_proba(tokens) for _ in range(2)]

    first, second = fits(np.random.RandomState(3))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal([first, second], fits(np.random.RandomState(3)))
    np.testing.assert_array_equal(*fits(None))
    with pytest.raises(InputError, match=r"^random_state: 'x' cannot be used to seed"):
        fits("x")


def test_a_fit_survives_pickling():
    tokens, labels = make_tokens()
    probe = ProbeClassifier(**SMALL).fit(tokens, labels)
    again = pickle.loads(pickle.dumps(probe))
    np.testing.assert_array_equal(again.predict_proba(tokens), probe.predict_proba(tokens))


@pytest.mark.slow
def test_fits_in_threads_are_those_of_one_thread():
    tokens, labels = make_tokens()
    one, several = (
        GridSearchCV(ProbeClassifier(**TRAINED), {"lr": [1e-6, 0.03]}, cv=2, n_jobs=jobs)
        for jobs in (1, 2)
    )
    one.fit(tokens, labels)
    with parallel_backend("threading"):
        several.fit(tokens, labels)
    scores = [search.cv_results_["mean_test_score"] for search in (one, several)]
    np.testing.assert_array_equal(*scores)


def test_tokens_of_another_width_are_refused_after_the_fit():
    probe = ProbeClassifier(**SMALL).fit(*make_tokens())
    with pytest.raises(InputError, match=r"width 8, got tokens\.shape=\(4, 5, 6\)"):
        probe.predict(np.zeros((4, 5, 6)))


# Vectors, and methods that read them

VECTORS = ("linear", "knn", "logreg")


@pytest.mark.parametrize("method", VECTORS)
def test_vectors_are_what_tokens_have_in_the_mean(method: str):
    tokens, labels = make_tokens()
    given = {"method": method, "epochs": 1, "c": (0.1, 1.0)}
    on_tokens = ProbeClassifier(**given).fit(tokens, labels)
    on_vectors = ProbeClassifier(**given).fit(tokens.mean(1), labels)
    assert on_vectors.score(tokens.mean(1), labels) > 0.6
    np.testing.assert_allclose(
        on_vectors.predict_proba(tokens.mean(1)), on_tokens.predict_proba(tokens), atol=1e-5
    )
    assert (on_vectors.n_features_in_, on_vectors.picked_) == (8, on_tokens.picked_)


def test_knn_picks_k_and_temperature_as_the_command_does():
    tokens, labels = make_tokens()
    options = {"k": [1, 40], "temperature": ["plain"]}
    probe = ProbeClassifier("knn", options=options).fit(tokens, labels)
    assert probe.picked_ == {"k": 1, "temperature": "plain"}
    assert (probe.lr_, probe.C_, probe.n_iter_) == (None, None, 0)
    held_out = hold_out(np.unique(labels, return_inverse=True)[1], None, share=0.2, seed=0)
    recall = balanced_accuracy_score(labels[held_out], probe.predict(tokens[held_out]))
    assert probe.validation_score_ == pytest.approx(recall)


def test_logreg_is_that_of_scikit_learn_with_its_weights():
    tokens, labels = make_tokens()
    weights = np.arange(60) % 4 + 1.0
    vectors = tokens.mean(1)
    probe = ProbeClassifier("logreg", c=0.5, validation_fraction=None)
    probe.fit(vectors, labels, sample_weight=weights)
    expected = make_pipeline(StandardScaler(), LogisticRegression(C=0.5, max_iter=1000)).fit(
        vectors, labels, standardscaler__sample_weight=weights,
        logisticregression__sample_weight=weights,
    )  # fmt: skip
    np.testing.assert_allclose(
        probe.predict_proba(vectors), expected.predict_proba(vectors), atol=1e-4
    )
    assert (probe.C_, probe.picked_, probe.validation_score_) == (0.5, {"C": 0.5}, None)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ep", *VECTORS])
def test_a_row_of_weight_two_is_two_rows_where_nothing_is_drawn(method: str):
    """Of EP before its first step: batches of one size hold other rows."""
    tokens, labels = make_tokens()
    weights = np.arange(60) // 3 % 3
    given = {"method": method, "c": 1.0, "validation_fraction": None, "lr": 1e-9, "epochs": 1}
    # All rows are neighbours: a number of them is one of rows, whatever these count.
    given["options"] = {"ep": {"num_queries": 2}, "knn": {"k": 60}}.get(method)
    repeated = np.repeat(np.arange(60), weights)
    one = ProbeClassifier(**given).fit(tokens, labels, sample_weight=weights)
    other = ProbeClassifier(**given).fit(tokens[repeated], labels[repeated])
    np.testing.assert_allclose(one.predict_proba(tokens), other.predict_proba(tokens), atol=2e-3)
    plain = ProbeClassifier(**given).fit(tokens, labels).predict_proba(tokens)
    assert np.abs(plain - one.predict_proba(tokens)).max() > 0.01


def test_weights_reach_the_steps_and_what_picks():
    """Rows of weight 0 are as if they were not there, their labels wrong or not."""
    tokens, labels = make_tokens()
    weights = np.where(np.arange(60) % 4 == 0, 0.0, 2.0)
    wrong = np.where(weights == 0, "cedar", labels)
    probes = [
        ProbeClassifier(**TRAINED).fit(tokens, given, sample_weight=weights)
        for given in (wrong, labels)
    ]
    assert all(probe.score(tokens, labels) > 0.8 for probe in probes)
    unweighted = ProbeClassifier(**TRAINED).fit(tokens, wrong)
    assert unweighted.score(tokens, labels) < probes[0].score(tokens, labels)


def test_a_table_of_vectors_keeps_its_columns():
    tokens, labels = make_tokens()
    frame = pd.DataFrame(tokens.mean(1), columns=[f"f{at}" for at in range(8)])
    probe = ProbeClassifier("logreg", c=1.0).fit(frame, labels)
    assert [*probe.feature_names_in_] == [*frame.columns]
    with pytest.raises(ValueError, match="feature names should match"):
        probe.predict(frame[frame.columns[::-1]])
    assert "feature_names_in_" not in vars(probe.fit(tokens, labels))


def test_the_device_is_found_out_by_default():
    assert ProbeClassifier().device == "auto"
    fitted = ProbeClassifier(**SMALL).fit(*make_tokens())
    found = "cuda" if torch.cuda.is_available() else "cpu"
    assert next(fitted.head_.parameters()).device.type == found


HELD_OUT = "rows are held out by their number, so that a weight of two is not two rows"
NOT_OFFERED = {
    "check_sample_weight_equivalence_on_dense_data": HELD_OUT,
    "check_do_not_raise_errors_in_init_or_set_params": "the tests check annotations at run time",
    "check_class_weight_classifiers": "class_weight is None or balanced, as on the command line",
}


@pytest.mark.slow
@pytest.mark.parametrize("method", VECTORS)
@pytest.mark.filterwarnings("ignore")  # the checks pass what scikit-learn warns of
def test_scikit_learn_s_own_checks_pass(method: str):
    probe = ProbeClassifier(method, lr=0.01, c=(0.1, 1.0), epochs=1)
    results = check_estimator(probe, expected_failed_checks=NOT_OFFERED, on_skip=None, on_fail=None)
    failed = {
        item["check_name"]: item["exception"] for item in results if item["status"] == "failed"
    }
    assert failed == {}
    assert len(results) > 50


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL))
def test_the_code_of_the_readme_runs(code: str):
    exec(code, {})
