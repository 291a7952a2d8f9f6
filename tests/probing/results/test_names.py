"""Short names of rows and runs."""

from pathlib import Path

import pytest

from helpers.shown_results import baselines, many_rows, plain_rows, row
from toolkit_probing.results.names import (
    encoder_name,
    method_heading,
    reads_line,
    run_names,
    short_names,
)


def test_a_method_alone_is_its_name():
    rows = [*plain_rows(), *baselines()]
    names = ["ep", "linear", "knn", "missingness baseline", "metadata baseline"]
    assert short_names(rows) == names


def test_rows_of_one_method_are_told_apart_by_what_differs():
    names = short_names([*many_rows(), *baselines()])
    assert names[0] == "ep \u00b7 queries 8 \u00b7 layer 6 \u00b7 2 shots"
    assert names[8:] == ["linear \u00b7 5 shots", "missingness baseline", "metadata baseline"]
    assert len(set(names)) == len(names)


def test_full_names_stand_where_nothing_else_tells_rows_apart():
    rows = [row("ep-layer12-cls", "ep", 0.5), row("ep-layer12-cls-published", "ep", 0.5)]
    assert short_names(rows) == ["ep-layer12-cls", "ep-layer12-cls-published"]


def test_what_is_read_is_said_once():
    assert reads_line(plain_rows()) == "read at layer 12: patches by ep; cls by linear, knn"
    assert reads_line(plain_rows()[1:]) == "read at layer 12: cls"
    assert reads_line(many_rows()) == "read: patches by ep; cls @ layer 12 by linear"
    assert reads_line([row("linear-lesion", "linear", 0.5, layer=0, source="lesion")]) == (
        "read: lesion"
    )
    both = [row("ep-layer0-all", "ep", 0.5, layer=0, source=name) for name in ("all", "all+meta")]
    assert [reads_line([one]) for one in both] == [
        "read: cls and patches", "read: cls and patches+meta",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("runs", "names"),
    [
        ([("x/a", "timm:vit?weights=/p/q.pth")], ["vit"]),
        ([("x/a", "mae"), ("x/b", "dino")], ["mae", "dino"]),
        ([("x/a", "mae"), ("x/b", "mae")], ["a", "b"]),
        ([("x/a/probe", "mae"), ("x/b/probe", "mae")], ["a", "b"]),
        ([("x/a", "mae"), ("x/a/a", "mae")], ["x/a", "x/a/a"]),
    ],
)
def test_runs_are_told_apart_in_the_fewest_words(runs, names):
    assert run_names([(Path(path), encoder) for path, encoder in runs]) == names


def test_an_encoder_is_called_without_where_it_lies():
    assert encoder_name("timm:hf-hub:org/repo") == "hf-hub:org/repo"
    assert encoder_name("/data/runs/derm") == "derm"
    assert encoder_name("open_clip:ViT-B-32@openai") == "ViT-B-32@openai"


def test_methods_are_written_as_people_write_them():
    assert [method_heading(name) for name in ("knn", "ep", "abmilp")] == ["k-NN", "EP", "abmilp"]
