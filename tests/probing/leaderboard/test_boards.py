"""Boards: rows of one data set and one protocol, and no others, the best first."""

from dataclasses import replace

import pytest

from helpers.leaderboards import (
    PAPER,
    encoder,
    methods,
    on_imagenet,
    recorded,
    run,
    with_images,
    with_results,
)
from helpers.shown_results import baselines, row
from toolkit_common.errors import InputError
from toolkit_probing.leaderboard.boards import build_boards
from toolkit_probing.published.rows import read_published
from toolkit_probing.results.names import short_data


def boards_of(*runs, metrics=()):
    return build_boards(list(runs), metrics=metrics, published=[read_published()])


A = run("runs/a", methods(0.6), encoder("a"))
B = run("runs/b", methods(0.7), encoder("b", "timm:vit_small_patch16_224.dino"))


def test_encoders_of_one_task_stand_together_the_best_by_ep_first():
    (board,) = boards_of(A, B)
    assert [item.encoder for item in board.standings] == ["b", "a"]
    assert board.methods == ["knn", "linear", "ep"]
    assert board.metric == "auroc"
    assert not board.has_published
    assert [name for name, _ in board.baselines] == ["missingness baseline", "metadata baseline"]
    (lower, *_) = boards_of(A, B, metrics=["log_loss"])
    assert [item.encoder for item in lower.standings] == ["a", "b"]


@pytest.mark.parametrize(
    "other",
    [
        with_results(B, protocol=replace(B.results.protocol, version=1)),
        with_results(B, protocol=replace(B.results.protocol, overridden={"epochs": 3})),
        with_results(B, data=replace(B.results.data, id="csv:other.csv")),
        with_results(B, data=replace(B.results.data, label="malignant")),
        with_results(B, data=replace(B.results.data, classes=["a", "b", "c"])),
        with_results(B, data=replace(B.results.data, splits="given")),
        run("runs/b", methods(0.7, inputs="image+meta"), encoder("b")),
        run("runs/b", methods(0.7, tune="lora"), encoder("b")),
        run("runs/b", methods(0.7, labels="5 shots"), encoder("b")),
        run("runs/b", methods(0.7, hidden_metadata=0.5), encoder("b")),
        with_images(run("runs/b", methods(0.7), encoder("b")), "abce"),
    ],
    ids=["version", "override", "data", "label", "classes", "splits", "inputs", "tuned", "labels",
         "hidden", "images"],
)  # fmt: skip
def test_what_differs_in_task_or_protocol_stands_apart(other):
    boards = boards_of(A, other)
    assert [len(board.standings) for board in boards] == [1, 1]


def test_of_several_shares_of_hidden_metadata_the_smallest_stands_with_its_baselines():
    shares = (0.25, 1.0)
    hidden = [row for at in shares for row in methods(1 - at, hidden_metadata=at, inputs="meta")]
    beside = [
        replace(item, hidden_metadata=at, metrics=one.metrics)
        for at, one in zip(shares, methods(0.5), strict=False)
        for item in baselines()
    ]
    (board,) = boards_of(run("runs/a", hidden, encoder("a"), baselines=beside))
    assert board.standings[0].figures["ep"].value == hidden[2].metrics["auroc"].mean
    assert [figure.value for _, figure in board.baselines] == [beside[0].metrics["auroc"].mean] * 2
    assert "25 % of the metadata hidden at test" in board.facts
    assert not any("variants" in line for line in board.notes)


def test_baselines_of_fewer_labels_do_not_stand_for_those_of_all():
    few = [
        replace(item, labels="10 % of labels", metrics=methods(0.5)[0].metrics)
        for item in baselines()
    ]
    for beside in ([*baselines(), *few], [*few, *baselines()]):
        (board,) = boards_of(run("runs/a", methods(0.6), encoder("a"), baselines=beside))
        shown = [figure.value for _, figure in board.baselines]
        assert shown == [item.metrics["auroc"].mean for item in baselines()]


def test_a_study_that_probes_methods_apart_gives_one_row_an_encoder():
    parts = [run(f"runs/{row.method}", [row], encoder("a")) for row in methods(0.6)]
    (board,) = boards_of(*parts)
    (item,) = board.standings
    assert set(item.figures) == {"knn", "linear", "ep"}
    assert len(item.runs) == 3


def test_methods_of_other_weights_under_one_id_stand_in_rows_of_their_own():
    parts = [
        recorded(run(f"runs/{row.method}", [row], encoder("a")), data="d", encoder=row.method)
        for row in methods(0.6)
    ]
    (board,) = boards_of(*parts)
    assert [set(item.figures) for item in board.standings] == [{"ep"}, {"linear"}, {"knn"}]


def test_what_was_judged_on_other_contents_of_a_data_set_stands_apart_and_it_is_said():
    one = recorded(run("runs/a", methods(0.6), encoder("a")), data="before")
    other = recorded(run("runs/b", methods(0.7), encoder("b")), data="after")
    boards = boards_of(one, other)
    assert [len(board.standings) for board in boards] == [1, 1]
    assert all(any("DATA CHANGED" in line for line in board.notes) for board in boards)
    (board,) = boards_of(one, recorded(other, data="before"))
    assert not any("DATA CHANGED" in line for line in board.notes)


def test_a_method_twice_gives_two_rows_with_their_folders():
    again = run("runs/again", methods(0.65), encoder("a"))
    (board,) = boards_of(A, again)
    assert [item.encoder for item in board.standings] == ["a \u00b7 again", "a \u00b7 a"]


def test_of_several_variants_that_stands_which_the_selection_split_prefers_and_it_is_said():
    rows = [
        row("ep-q8", "ep", 0.9, select_score=0.1),
        row("ep-q16", "ep", 0.6, select_score=0.3),
        row("ep-q32", "ep", 0.8, select_score=None),
    ]
    (board,) = boards_of(run("runs/a", rows, encoder("a")))
    value = board.standings[0].figures["ep"].value
    assert value == pytest.approx(rows[1].metrics["auroc"].mean)
    assert "a: ep-q16, of 3 variants the one selected on val" in board.notes


def test_published_rows_stand_beside_what_is_of_their_data_and_protocol():
    (board,) = boards_of(on_imagenet("runs/a", 0.7, "own"))
    assert board.metric == "top1"
    assert len(board.standings) == 38
    assert board.standings[0].encoder == "DINOv3 ViT-7B/16"
    assert sum(bool(item.stochastic) for item in board.standings) == 8
    own = next(item for item in board.standings if item.origin == "here")
    assert own.pretraining == "IN-1K"  # of the same weights as a published row
    assert any("b8f4fb8; not measured here" in line for line in board.notes)
    assert any("k-NN searched one process's share" in line for line in board.notes)
    values = [item.figures["ep"].value for item in board.standings]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize(
    "fields",
    [
        {"protocol": replace(PAPER, overridden={"epochs": 10})},
        {"protocol": replace(PAPER, unmet="batch 512 instead of 4096")},
        {"protocol": replace(PAPER, name="honest", version=2)},
        {"data": replace(on_imagenet("a", 0.7, "own").results.data,
                         sizes={"train": 1_281_166, "val": 0, "test": 50_000})},
    ],
)  # fmt: skip
def test_published_rows_stand_beside_nothing_else(fields):
    (board,) = boards_of(on_imagenet("runs/a", 0.7, "own", **fields))
    assert [item.encoder for item in board.standings] == ["own"]


def test_a_run_of_all_folds_has_a_board_without_published_rows():
    whole = on_imagenet("runs/a", 0.7, "own")
    data = replace(whole.results.data, sizes={"test": 50_000})  # as its results have them
    (board,) = boards_of(with_results(whole, data=data, folds=["fold-0", "fold-1"]))
    assert [item.encoder for item in board.standings] == ["own"]
    assert "each tested once in 2 folds" in board.facts


def test_published_rows_know_top1_alone():
    boards = boards_of(on_imagenet("runs/a", 0.7, "own"), metrics=["top1", "auroc"])
    assert [len(board.standings) for board in boards] == [38, 1]


def test_an_unknown_metric_is_refused():
    with pytest.raises(InputError, match="no metric 'aurok'; did you mean 'auroc'"):
        boards_of(A, metrics=["aurok"])


def test_random_weights_and_seen_patients_are_said():
    random = encoder("a", random_weights=True)
    (board,) = boards_of(run("runs/a", methods(0.6, seen="seen"), random))
    assert board.standings[0].family == "untrained"
    assert "RANDOM WEIGHTS: the figures judge no trained encoder" in board.notes
    assert any(line.startswith("SEEN: ") for line in board.notes)


def test_a_data_set_is_named_without_its_place():
    assert short_data("imagefolder:/home/somebody/imagenet/") == "imagefolder:imagenet"
    assert short_data("csv:/data/a.csv?label=dx") == "csv:a.csv"
    assert short_data("lesions") == "lesions"


def test_an_encoder_that_has_seen_the_patients_is_not_ranked_above_others():
    seen = run("runs/s", methods(0.9, seen="seen"), encoder("s"))
    (board,) = boards_of(seen, A, B)
    assert [item.encoder for item in board.standings] == ["b", "a", "s"]
    assert any("not ranked with them" in line for line in board.notes)
