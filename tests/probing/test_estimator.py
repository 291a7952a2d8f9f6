"""`ProbeClassifier` is a scikit-learn classifier over tokens."""

import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from joblib import parallel_backend
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score

from toolkit_common.config import field_extra
from toolkit_common.errors import InputError
from toolkit_probing import EfficientProbing, ProbeClassifier
from toolkit_probing.settings import TRAINING, ProbeSettings

README = Path(__file__).parents[2] / "packages/probing/README.md"
SMALL = {"options": {"num_queries": 2}, "epochs": 20, "lr": 0.5}


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
    search = GridSearchCV(ProbeClassifier(**SMALL), {"lr": [1e-6, 0.5]}, cv=2).fit(inputs, labels)
    assert search.best_params_ == {"lr": 0.5}


def test_a_clone_has_the_same_parameters_and_no_fit():
    probe = ProbeClassifier(**SMALL)
    copied = clone(probe.fit(*make_tokens()))
    assert copied.get_params() == probe.get_params()
    with pytest.raises(NotFittedError):
        copied.predict(make_tokens()[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": np.zeros((4, 8))}, r"tokens\.shape=\(4, 8\)"),
        ({"tokens": np.full((4, 5, 8), np.nan)}, "NaN or infinity, first in row 0"),
        ({"labels": np.zeros(3)}, r"shape \(4,\), got \(3,\)"),
        ({"labels": np.zeros(4)}, "at least two classes, got only .*0.0"),
        ({"method": "eq"}, "unknown method 'eq'; did you mean 'ep'"),
        ({"method": "knn"}, "unknown method 'knn'.*linear"),
        ({"options": {"num_querys": 3}}, "unknown option of ep 'num_querys'; did you mean"),
        ({"options": {"num_queries": 3}}, "num_queries=3; choose num_queries from: 1, 2, 4, 8"),
        ({"grid": (2, 2)}, r"grid of 5 tokens, got grid=\(2, 2\)"),
    ],
)
def test_bad_input_is_named(change: dict, message: str):
    tokens = change.pop("tokens", np.zeros((4, 5, 8)))
    labels = change.pop("labels", np.array([0, 1, 0, 1]))
    with pytest.raises(InputError, match=message):
        ProbeClassifier(**change).fit(tokens, labels)


def test_a_head_that_diverges_is_no_classifier():
    tokens, labels = make_tokens()
    with pytest.raises(InputError, match=r"the head has diverged with lr=1e\+30: lower it"):
        ProbeClassifier(**SMALL | {"lr": 1e30, "optimizer": "sgd"}).fit(tokens, labels)


NEEDS_A_SPLIT = {"patience", "min_delta", "select_on", "select_by"}  # scikit-learn picks here
NEEDS_AN_ENCODER = {"augment", "views"}


def test_every_training_option_of_the_command_is_a_parameter():
    options = {
        name for name, field in ProbeSettings.model_fields.items()
        if field_extra(field)["panel"] == TRAINING
    }  # fmt: skip
    assert options - NEEDS_A_SPLIT - NEEDS_AN_ENCODER <= set(ProbeClassifier().get_params())


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
        ({"lr": 0}, r"^lr: input should be greater than 0, got 0.0 \(from ProbeClassifier\)$"),
    ],
)
def test_parameters_are_checked_as_the_command_checks_its_options(change, message):
    with pytest.raises(InputError, match=message):
        ProbeClassifier(**SMALL | change).fit(*make_tokens())


@pytest.mark.slow
def test_parameters_may_be_numbers_of_numpy():
    tokens, labels = make_tokens()
    numbers = {"epochs": np.int64(20), "lr": np.float32(0.5), "random_state": np.int64(0)}
    one = ProbeClassifier(**SMALL).set_params(**numbers).fit(tokens, labels)
    other = ProbeClassifier(**SMALL).fit(tokens, labels)
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
        GridSearchCV(ProbeClassifier(**SMALL), {"lr": [1e-6, 0.5]}, cv=2, n_jobs=jobs)
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


def test_the_package_gives_its_two_names_and_no_others():
    import toolkit_probing

    assert EfficientProbing(8, num_queries=2).out_dim == 8
    with pytest.raises(AttributeError, match="no attribute 'EfficientProber'"):
        _ = toolkit_probing.EfficientProber


def test_the_package_alone_imports_no_torch():
    code = "import sys, toolkit_probing; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL))
def test_the_code_of_the_readme_runs(code: str):
    exec(code, {})
