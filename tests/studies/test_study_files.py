"""The study files of the repository: their commands are right, and small stand-ins run through."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from helpers.repository import ROOT
from helpers.tiny_study import InProcess
from toolkit_common.scores import statistics
from toolkit_common.study.commands import find_command
from toolkit_common.study.file import read_study
from toolkit_common.study.grid import Cell, expand
from toolkit_common.study.run import run_cells
from toolkit_common.study.state import State, look_at
from toolkit_common.study.table import Table, build_table, check_table, pick_tables
from toolkit_slimp.ablations import ABLATIONS

FILES = sorted((ROOT / "studies").glob("*.yaml"))
TINY = "timm:test_vit?image_size=32"
SMALL: Mapping[str, Any] = {"data": "lesions", "start": TINY, "untrained": TINY, "epochs": 1,
                            "folds": 3, "judged": [0, 1]}  # fmt: skip
UNTRAINED = {"random_init": True, "metadata_dim": 8, "embed_dim": 8, "report": False}


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of a small cell's time would be its intervals."""
    monkeypatch.setattr(statistics, "NUM_RESAMPLES", 20)


def cells_of(text: str | None, path: Path) -> tuple[Any, list[Cell]]:
    if text is not None:
        path = Path("study.yaml")
        path.write_text(text)
    study = read_study(path)
    cells = expand(study, Path("runs"), find_command)
    for name in study.tables:
        check_table(study, name, cells)
    return study, cells


def small(path: Path, **parameters: Any) -> dict[str, Any]:
    """Return a study of few cells: random weights, an epoch, two folds."""
    values = yaml.safe_load(path.read_text())
    values["parameters"] |= {**SMALL, **parameters}
    values["steps"]["pretrain"]["options"] |= UNTRAINED
    for step in values["steps"].values():
        if step["command"] == "probe":
            # A page and a grid of what is tried would take most of the time.
            step["options"] |= {"report": False, "lr": 0.001, "classifier": "trained"}
        start = step.get("grid", {}).get("encoder", step.get("grid", {}).get("condition", {}))
        for options in start.values() if isinstance(start, dict) else ():
            if options.get("backbone") == "{start}":
                options["random_init"] = True
    return dict(values)


def carry_out(values: dict[str, Any]) -> dict[str, Table]:
    study, cells = cells_of(yaml.safe_dump(values, sort_keys=False), Path())
    outcome = run_cells(cells, look_at(cells), Path("runs"), executor=InProcess(), jobs=1)
    assert outcome.failed == {}
    statuses = look_at(cells)
    assert {status.state for status in statuses.values()} == {State.DONE}
    shown = pick_tables(study, None, cells)
    return {name: build_table(study, name, cells, statuses=statuses) for name in shown}


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_command_of_a_study_is_right(path):
    study, cells = cells_of(None, path)
    assert study.spec.name == path.stem
    for cell in cells:  # a fold is judged with its own pre-training
        for need in cell.needs.values():
            if "fold" not in need.values:
                continue
            assert need.values["fold"] == cell.values["fold"]
            assert cell.resolved.settings.fold == cell.values["fold"]


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in FILES if path.stem.startswith("ep-")],
                         ids=lambda path: path.stem)  # fmt: skip
def test_queries_of_ep_fit_an_encoder_of_any_width(path):
    study = read_study(path, ("queries=3",))
    cells = expand(study, Path("runs"), find_command)
    probes = [cell for cell in cells if cell.words[0] == "probe" and "widths" not in cell.step]
    with_ep = [cell.words for cell in probes if "ep" in cell.resolved.settings.method]
    assert with_ep
    assert all("ep.num_queries=3" in words for words in with_ep)


@pytest.mark.slow
def test_the_ablation_study_has_every_ablation():
    values = yaml.safe_load((ROOT / "studies/slimp-ablation.yaml").read_text())
    conditions = values["steps"]["pretrain"]["grid"]["condition"]
    assert {options.get("ablation", "none") for options in conditions.values()} == set(ABLATIONS)


@pytest.mark.slow
def test_a_small_ablation_study_runs_through():
    values = small(ROOT / "studies/slimp-ablation.yaml")
    values["steps"]["pretrain"]["grid"]["condition"] = {"slimp": {}}
    values["exclude"] = [{"condition": "random-init"}]
    tables = carry_out(values)
    probes = tables["probes"]
    assert list(probes.groups) == [
        ("slimp", "image", "knn"), ("slimp", "image", "logreg"),
        ("slimp", "image+meta", "logreg"),
        ("image-only", "image", "knn"), ("image-only", "image", "logreg"),
        ("no image", "metadata alone", "missingness baseline"),
        ("no image", "metadata alone", "metadata baseline"),
    ]  # fmt: skip
    for group in probes.groups.values():
        assert (len(group.records), group.missing) == (2, 0)
    gap = probes.figures[("image-only", "image", "logreg"), "auroc"].gap
    assert gap.units == 2
    assert tables["pre-training"].figures[("slimp",), "held_out.val_lesion_recall_at_5"].mean >= 0


@pytest.mark.slow
def test_a_small_demo_study_runs_through():
    values = small(ROOT / "studies/demo.yaml", methods="knn")
    values["exclude"] = [{"encoder": "random weights"}]
    (table,) = carry_out(values).values()
    assert list(table.groups) == [("ImageNet + SLIMP", "knn"), ("ImageNet", "knn")]
    figure = table.figures[("ImageNet + SLIMP", "knn"), "auroc"]
    assert figure.interval_of == "patients"
    low, high = figure.gap.interval
    assert low <= figure.gap.mean <= high
    assert figure.gap.units == 2
    assert table.groups["ImageNet + SLIMP", "knn"].marks == []  # of its fold no patient was seen


@pytest.mark.slow
def test_a_small_evaluation_study_runs_through():
    values = small(
        ROOT / "studies/slimp-evaluation.yaml",
        methods=["ep", "knn"],
        vector_methods="knn",
        probe_epochs=1,
        shares=[0.5, 1],
        draws=1,
        hide=[0, 1],
        others={"mine": SMALL["start"]},
    )
    values["steps"]["elsewhere"]["options"]["random_init"] = True
    values["exclude"] = [
        {"encoder": ["simclr", "random"]},
        {"step": ["metadata", "hidden", "extrapolate", "extrapolated"], "fold": 1},
    ]
    tables = carry_out(values)
    encoders = tables["encoders"]
    assert set(encoders.groups) == {(name, how) for name in ("slimp", "mine", "start") for how in
                                    ("ep", "knn")}  # fmt: skip
    assert encoders.figures[("slimp", "knn"), "auroc"].gap.units == 2
    metadata = tables["metadata"]
    assert metadata.figures[("slimp", "image+meta", "ep"), "auroc"].gap is not None
    assert ("slimp", "meta", "knn") in metadata.groups
    assert ("no image", "metadata alone", "missingness baseline") in metadata.groups
    extrapolated = tables["extrapolated"]
    assert set(extrapolated.groups) == {
        ("slimp", "image", "ep"), ("slimp", "image", "knn"), ("slimp", "image+extrapolated", "ep"),
        ("slimp", "image+extrapolated", "knn"), ("slimp", "extrapolated", "knn"),
    }  # fmt: skip
    assert extrapolated.figures[("slimp", "image+extrapolated", "knn"), "auroc"].gap.units == 1
    hidden, alone = tables["hidden"], ("no image", "metadata alone")
    assert {key[:3] for key in hidden.groups} == {
        ("slimp", "image+meta", "ep"), ("slimp", "image+meta", "knn"), ("slimp", "meta", "knn"),
        (*alone, "missingness baseline"), (*alone, "metadata baseline"),
    }  # fmt: skip
    assert hidden.figures[("slimp", "meta", "knn", "100 %"), "auroc"].mean == 0.5
    assert hidden.figures[(*alone, "metadata baseline", "100 %"), "auroc"].mean == 0.5
    same = metadata.figures[("slimp", "meta", "knn"), "auroc"].mean
    assert hidden.figures[("slimp", "meta", "knn", "0 %"), "auroc"].mean == same
    complete = tables["encoders-on-complete-rows"]
    assert complete.judged.endswith(" with metadata complete")
    assert complete.figures[("slimp", "knn"), "auroc"].gap.units == 2
    retrieval = tables["retrieval"].figures[("slimp", "image"), "mean_average_precision"]
    assert 0.0 < retrieval.mean < 1.0
    assert retrieval.gap.units == 2
    cross = tables["cross-modal"].figures[("slimp",), "held_out.val_lesion_reverse_recall_at_1"]
    assert 0.0 <= cross.mean <= 1.0
    for table in tables.values():
        assert not table.missing
    labels = {key[2] for key in tables["labels"].groups}
    assert labels == {"50 % of labels", "all labels"}
    shares = tables["labels-with-metadata"].groups
    assert {key[3] for key in shares if key[1] == "image+extrapolated"} == labels
    assert {key[3] for key in shares if key[2] == "metadata baseline"} == labels
    assert encoders.groups["slimp", "knn"].marks == []  # no test patient was seen in its fold
    judge_given_runs(values)


def judge_given_runs(values: dict[str, Any]) -> None:
    """Judge two runs that are given in place of pre-training, on patients whom neither has seen."""
    run = "runs/pretrain/encoder=slimp,fold=0"
    shutil.copytree(run, "two")
    values["parameters"] |= {
        "pretraining": {}, "others": {}, "trained": {"one": run, "two": "two"}, "judged": [0]
    }  # fmt: skip
    values["exclude"] = [{"encoder": "random"}]
    tables = carry_out(values)
    assert "slimp-or-simclr" not in tables
    assert {key[0] for key in tables["encoders"].groups} == {"one", "two", "start"}
    metadata = tables["metadata"]
    assert ("no image", "metadata alone", "metadata baseline") in metadata.groups
    assert {key[1] for key in metadata.groups if key[0] == "one"} == {"image", "image+meta", "meta"}
    extrapolated = tables["extrapolated"]
    assert extrapolated.figures[("two", "image+extrapolated", "knn"), "auroc"].gap.units == 1
    # A given run knows no fold: it asks this fold's training patients all the same.
    told = [
        pd.read_parquet(f"runs/{step}/encoder={name},fold=0/metadata.parquet")
        for step, name in (("extrapolate", "slimp"), ("trained-extrapolate", "two"))
    ]
    assert told[0].drop(columns="neighbour").equals(told[1].drop(columns="neighbour"))
