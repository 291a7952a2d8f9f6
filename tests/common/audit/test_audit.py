"""An audit chooses what to score against, and says what it could not do."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from typer.testing import Result

from conftest import assert_bad_input
from helpers.audited import IMAGES, ROWS, SHEET, data, kinds, run_audit, write_csv
from helpers.small_data import build_data
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.sheet import Sheet
from toolkit_common.errors import InputError
from toolkit_common.synthetic.make import make_data


def test_a_class_of_one_image_does_not_hide_what_is_missing() -> None:
    labels = ["a", "a", "b", "b"] * (ROWS // 4)
    labels[7] = "an only one"
    smoke = [None if name == "a" else "true" for name in labels]
    ages = np.random.default_rng(0).normal(size=ROWS).tolist()
    audit = run_audit(build_data(labels, images=IMAGES, sheet=SHEET, age=ages, smoke=smoke))
    assert {item.name: item.auroc for item in audit.baselines}["missingness"] == 1.0
    assert any("left out: an only one" in item.text for item in audit.findings)
    alone = run_audit(build_data(["a"] * 59 + ["b"], images=IMAGES, sheet=SHEET, age=ages))
    assert kinds(alone)["baselines"] == "warning"


@pytest.mark.slow
def test_data_without_labels_are_audited_for_the_rest(
    run_cli: Callable[..., Result], tmp_path: Path
) -> None:
    table = {"site": ["x"] * ROWS, "code": [f"c{row}" for row in range(ROWS)],
             **{f"measure {number}": list(range(ROWS)) for number in range(40)}}  # fmt: skip
    text = write_csv(tmp_path, table)
    (tmp_path / "0.png").write_bytes(IMAGES[1])
    (tmp_path / "2.png").write_bytes(b"no image")
    result = run_cli("data", "audit", text, "-o", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    by_kind = {item["kind"]: item["text"] for item in report["findings"]}
    assert {"exact duplicates", "broken files", "constant", "id-like"} <= set(by_kind)
    assert "has no column 'label'; columns were not scored" in by_kind["no label"]
    assert "with --label" in by_kind["no label"]
    assert "measure" not in by_kind["no label"]
    assert (report["label"], report["classes"], report["baselines"]) == (None, {}, [])
    assert {column["value_auroc"] for column in report["columns"]} == {None}
    assert "no label" in (tmp_path / "out/audit.html").read_text()


def test_columns_of_any_type_are_scored() -> None:
    is_b = [row % 2 == 1 for row in range(ROWS)]
    rows = Dataset.from_dict(
        {
            "image": [{"bytes": content, "path": None} for content in IMAGES],
            "image_id": [str(row) for row in range(ROWS)],
            "label": ["b" if hit else "a" for hit in is_b],
            "boxes": [[1, 2] if hit else [] for hit in is_b],
            "flag": is_b,
            "day": [datetime(2020, 1, 1 + hit, tzinfo=UTC) for hit in is_b],
        }
    )
    audit = run_audit(ImageData("typed", rows, Sheet("typed")))
    assert {facts.name: facts.value_auroc for facts in audit.columns} == dict.fromkeys(
        ("boxes", "flag", "day"), 1.0
    )
    assert {item.name: item.auroc for item in audit.baselines}["metadata"] == 1.0


def test_a_label_of_one_class_is_reported_and_not_scored_against() -> None:
    audit = run_audit(build_data(["a"] * ROWS, images=IMAGES, site=["x", "y"] * 30))
    assert kinds(audit)["no label"] == "warning"
    assert "has only 'a'" in audit.findings[0].text


def test_the_first_label_that_is_there_is_scored_against() -> None:
    sheet = replace(SHEET, labels=("diagnosis", "label"))
    audit = run_audit(data(sheet=sheet)).labels
    assert audit is not None
    assert audit.name == "label"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "typo"}, "no label 'typo'"),
        ({"against": "typo"}, "unknown data set 'typo'"),
        ({"splits": Path("typo.csv")}, "no table at typo.csv"),
    ],
)
def test_what_is_mistyped_is_refused_before_an_image_is_read(
    options: dict[str, Any], message: str
) -> None:
    small = data()
    with pytest.raises(InputError, match=message):
        run_audit(small, images=True, **options)
    assert "images" not in vars(small)  # which caches them


def test_a_place_for_the_report_that_cannot_be_is_refused_at_once(
    run_cli: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "file/a/b"
    message = f"--output {place} cannot be made: {tmp_path / 'file'} is a file"
    assert_bad_input(run_cli("data", "audit", "none", "-o", place), message)


@pytest.mark.slow
def test_the_lesion_sample_leaks(run_cli: Callable[..., Result], tmp_path: Path) -> None:
    result = run_cli("data", "audit", "lesions", "--no-images", "--label", "malignant",
                     "-o", tmp_path / "out", "--json")  # fmt: skip
    assert result.exit_code == 3
    findings = json.loads(result.stdout)["findings"]
    leaks = {item["kind"] for item in findings if item["severity"] == "leak"}
    assert leaks == {"missingness", "missingness baseline"}
    (biopsed,) = (item["text"] for item in findings if "'biopsed'" in item["text"])
    assert float(biopsed.split("AUROC ")[-1].split(";")[0]) > 0.85
    assert_bad_input(run_cli("data", "audit", "lesions", "-o", tmp_path / "out"), "exists")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lesions?rows=complete", "ph2"])
def test_clean_lesion_data_exit_with_0(
    run_cli: Callable[..., Result], tmp_path: Path, name: str
) -> None:
    if name == "ph2":
        make_data(name, tmp_path / name, rows=60, seed=0, layout=None, pool=None)
        name = f"ph2:{tmp_path / name}"
    result = run_cli("data", "audit", name, "--label", "malignant")
    assert result.exit_code == 0, result.output
    assert "withheld, never read" in result.stdout
