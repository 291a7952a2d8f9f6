"""Figures of a model card: of this encoder, frozen, marked as they were, or refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from toolkit_common.errors import InputError
from toolkit_common.sharing.figures import read_figures

ROW = {"method": "ep", "labels": "all labels", "selected": "selected on val", "inputs": "image",
       "tune": "none", "seen": "unseen",
       "metrics": {"auroc": {"mean": 0.75, "ci": [0.5, 1.0], "values": [0.75]},
                   "log_loss": {"mean": None, "ci": None}}}  # fmt: skip
RESULTS = {
    "version": 1,
    "protocol": {"name": "honest", "version": 2, "overridden": {"epochs": 3}, "source": "docs"},
    "data": {"id": "csv:/home/somebody/a.csv", "sizes": {"test": 6}, "num_test_groups": 3},
    "backbone": {"random_weights": False},
    "rows": [ROW],
}


def write(run: Path, **changes: Any) -> Path:
    run.mkdir(exist_ok=True)
    (run / "DONE").touch()
    (run / "run.json").write_text('{"kind": "probe", "encoder": "f1"}')
    (run / "results.json").write_text(json.dumps({**RESULTS, **changes}))
    return run


def test_a_figure_stands_with_its_interval_and_who_was_seen(tmp_path: Path) -> None:
    row = {**ROW, "method": "knn", "seen": "seen"}
    figures = read_figures(write(tmp_path, rows=[ROW, row]), "f1")
    ep, knn = (f"{name}, all labels, selected on val" for name in ("ep", "knn"))
    assert figures.rows[ep] == {"auroc": "0.750 [0.50, 1.00]", "log_loss": "undefined"}
    assert figures.seen == {ep: "unseen", knn: "seen"}
    assert (figures.data, figures.sizes) == ("csv", (6, 3))
    assert figures.protocol == "honest (version 2, changed: epochs)"


def test_rows_of_metadata_and_of_tuned_encoders_are_not_its_figures(tmp_path: Path) -> None:
    others = [{**ROW, "inputs": "image+meta"}, {**ROW, "tune": "lora"}]
    assert len(read_figures(write(tmp_path, rows=[*others, ROW]), "f1").rows) == 1
    with pytest.raises(InputError, match="has no figure of this encoder's images, frozen"):
        read_figures(write(tmp_path, rows=others), "f1")


def test_another_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="judged another encoder than the one to share"):
        read_figures(write(tmp_path), "f2")


def test_a_run_that_is_not_done_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no finished probe run: it has no DONE"):
        read_figures(tmp_path, "f1")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": [{**ROW, "metrics": {"auroc": {"mean": 1e400}}}]}, "Infinity is no number"),
        ({"rows": [{**ROW, "metrics": {"auroc": {"mean": 1e7}}}]}, r"rows\.0\.metrics\.auroc"),
        ({"rows": [{**ROW, "seen": "perhaps"}]}, r"rows\.0\.seen: input should be"),
        ({"rows": []}, "rows: list should have at least 1 item"),
        ({"backbone": {}}, r"backbone\.random_weights: field required"),
    ],
)
def test_figures_that_cannot_be_are_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        read_figures(write(tmp_path, **changes), "f1")
