"""The audit finds planted leaks and keeps quiet about clean data."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from typer.testing import Result

from conftest import assert_bad_input
from helpers.small_data import build_data, encode, image_bytes, noise
from toolkit_common.audit.audit import Audit, audit_data
from toolkit_common.audit.baselines import metadata_baselines
from toolkit_common.audit.findings import Finding
from toolkit_common.audit.report import audit_json, write_audit
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.data.splits import keep_labelled, make_splits
from toolkit_common.errors import InputError
from toolkit_common.sources.load import load_data
from toolkit_common.synthetic.make import make_data

ROWS = 60
SHEET = Sheet(
    "small",
    columns=(Column("age", "patient", "numeric"), Column("smoke", "patient", "boolean")),
    leaks={"biopsed": "decided later"},
)
IMAGES = [image_bytes(row) for row in range(ROWS)]


def data(**changes: Any) -> ImageData:
    rng = np.random.default_rng(0)
    given = {
        "groups": [f"p{row // 2}" for row in range(ROWS)],
        "images": IMAGES,
        "sheet": SHEET,
        "age": rng.integers(20, 80, ROWS).astype(float).tolist(),
        "smoke": rng.choice(["true", "false"], ROWS).tolist(),
    }
    return build_data(["a", "a", "b", "b"] * (ROWS // 4), **(given | changes))


def kinds(audit: Audit) -> dict[str, str]:
    return {finding.kind: finding.severity for finding in audit.findings}


def audit_with_images(found: ImageData) -> Audit:
    return audit_data(found, images=True)


def test_clean_data_has_no_leak() -> None:
    audit = audit_with_images(data())
    assert kinds(audit) == {"class balance": "note"}
    assert audit.findings[0].text == "30 images of each class"
    assert not audit.has_leak


def test_a_listed_column_that_is_read_and_telling_empty_cells_are_leaks() -> None:
    smoke = [None, None, "true", "false"] * (ROWS // 4)
    audit = audit_data(data(smoke=smoke, biopsed=["no", "no", "yes", "yes"] * 15))
    leaks = {item.kind: item.text for item in audit.findings if item.severity == "leak"}
    assert "'biopsed'" in leaks["post-dates the diagnosis"]
    assert "among the columns that are read" in leaks["post-dates the diagnosis"]
    assert "AUROC 1.000 from 'smoke'" in leaks["missingness"]


def test_a_listed_column_that_is_withheld_is_a_note_with_its_auroc() -> None:
    told = ["no", "no", "yes", "yes"] * 15
    audit = audit_data(replace(data(), withheld=pd.DataFrame({"biopsed": told})))
    (found,) = (item for item in audit.findings if item.kind == "post-dates the diagnosis")
    assert found.severity == "note"
    assert found.text == (
        "column 'biopsed' is on the sheet's leak list (decided later), AUROC 1.000; withheld, "
        "never read"
    )
    assert not audit.has_leak
    rare = replace(data(), withheld=pd.DataFrame({"biopsed": [None, None, "yes", "yes"] * 15}))
    assert any("AUROC 1.000 by being empty" in item.text for item in audit_data(rare).findings)


def test_a_table_without_a_sheet_is_held_against_the_archives_leak_lists() -> None:
    columns = {"dx_type": ["histo", "consensus"] * 30, "target": ["x", "y"] * 30}
    audit = audit_data(data(sheet=Sheet("bare"), **columns))
    (leak,) = (item for item in audit.findings if item.severity == "leak")
    assert "column 'dx_type' is on a leak list (how the diagnosis was confirmed" in leak.text
    assert not audit_data(data(**columns)).has_leak  # its own sheet knows better
    unlabelled = replace(Sheet("bare"), labels=("none",))  # the column may be the label itself
    found = audit_data(data(sheet=unlabelled, **columns))
    assert kinds(found)["post-dates the diagnosis"] == "warning"


def test_a_patient_in_two_given_splits_is_a_leak() -> None:
    splits = ["train"] * 41 + ["test"] * 19
    audit = audit_data(data(splits=splits))
    assert kinds(audit)["group overlap"] == "leak"
    assert "first: p20" in audit.findings[0].text


def test_a_doubled_image_across_splits_is_a_leak_and_a_broken_one_is_named() -> None:
    images = [IMAGES[59], b"no image", *IMAGES[2:]]
    splits = ["train"] * 40 + ["val"] * 10 + ["test"] * 10
    found = kinds(audit_with_images(data(images=images, splits=splits)))
    assert (found["exact duplicates"], found["broken files"]) == ("leak", "warning")


def test_proxies_constants_and_ids_are_told() -> None:
    columns = {
        "size": [0.0, 0.1, 1.0, 1.1] * 15,
        "site": ["x"] * ROWS,
        "code": [f"c{row}" for row in range(ROWS)],
    }
    found = kinds(audit_data(data(**columns)))
    told = {name: found[name] for name in ("label proxy", "constant", "id-like")}
    assert told == {"label proxy": "leak", "constant": "note", "id-like": "warning"}


def test_what_chance_may_give_is_a_warning() -> None:
    groups = [f"p{row * 6 // ROWS}" for row in range(ROWS)]  # six patients, ten images each
    told = [row * 6 // ROWS % 2 for row in range(ROWS)]
    columns = {"smoke": [None if hit else "true" for hit in told], "size": list(map(float, told))}
    few = build_data(told, groups=groups, images=IMAGES, sheet=SHEET, **columns)
    found = audit_data(few)
    assert {kinds(found)[name] for name in ("missingness", "label proxy")} == {"warning"}
    assert all("may be chance" in item.text for item in found.findings if "proxy" in item.kind)
    assert not found.has_leak
    alone = build_data(told, images=IMAGES, sheet=SHEET, **columns)
    assert {kinds(audit_data(alone))[name] for name in ("missingness", "label proxy")} == {"leak"}


def test_what_tells_of_the_acquisition_is_a_warning() -> None:
    columns = {"size": [0.0, 0.1, 1.0, 1.1] * 15, "smoke": [None, None, "true", "false"] * 15}
    of_site = replace(SHEET, columns=(), acquisition=dict.fromkeys(columns, "tells the site"))
    found = kinds(audit_data(data(sheet=of_site, **columns)))
    told = {name: found[name] for name in ("label proxy", "missingness", "acquisition")}
    assert set(told.values()) == {"warning"}


def test_baselines_read_no_image_and_see_what_is_planted() -> None:
    smoke = [None, None, "true", "false"] * (ROWS // 4)
    telling, labels = data(smoke=smoke), data().labels()
    splits = keep_labelled(make_splits(telling), telling, labels)
    found = {item.name: item.auroc for item in metadata_baselines(telling, labels, splits)}
    assert found == {"missingness": 1.0, "metadata": pytest.approx(1.0)}
    assert metadata_baselines(data(sheet=Sheet("bare")), labels, splits) == []


def write_csv(folder: Path, table: dict[str, list[Any]]) -> str:
    for row, content in enumerate(IMAGES):
        (folder / f"{row}.png").write_bytes(content)
    frame = pd.DataFrame({"image": [f"{row}.png" for row in range(ROWS)], **table})
    frame.to_csv(folder / "table.csv", index=False)
    return f"csv:{folder / 'table.csv'}"


def test_cells_that_tell_the_label_together_are_a_leak(tmp_path: Path) -> None:
    """Three columns, each empty for another third of a class: none of them tells much alone."""
    is_b = np.arange(ROWS) % 2 == 1
    table: dict[str, list[Any]] = {"label": np.where(is_b, "b", "a").tolist()}
    for third in range(3):
        empty = is_b & (np.arange(ROWS) // 2 % 3 == third)
        table[f"answer {third}"] = [None if hit else "yes" for hit in empty]
    found = {item.kind: item for item in audit_data(load_data(write_csv(tmp_path, table))).findings}
    assert "missingness" not in found
    leak = found["missingness baseline"]
    assert leak.severity == "leak"
    assert "test AUROC 1.000 from 3 columns" in leak.text


def test_a_class_of_one_image_does_not_hide_what_is_missing() -> None:
    labels = ["a", "a", "b", "b"] * (ROWS // 4)
    labels[7] = "an only one"
    smoke = [None if name == "a" else "true" for name in labels]
    ages = np.random.default_rng(0).normal(size=ROWS).tolist()
    audit = audit_data(build_data(labels, images=IMAGES, sheet=SHEET, age=ages, smoke=smoke))
    assert {item.name: item.auroc for item in audit.baselines}["missingness"] == 1.0
    assert any("left out: an only one" in item.text for item in audit.findings)
    alone = audit_data(build_data(["a"] * 59 + ["b"], images=IMAGES, sheet=SHEET, age=ages))
    assert kinds(alone)["baselines"] == "warning"


def test_columns_that_tell_the_label_together_are_a_warning() -> None:
    signs = np.random.default_rng(0).choice([-1.0, 1.0], ROWS)
    is_b = np.arange(ROWS) // 2 % 2 == 1  # as in data()
    large = 3 * np.random.default_rng(1).normal(size=ROWS)
    columns = {"left": (large + is_b).tolist(), "right": (large - is_b).tolist()}
    both = tuple(Column(name, "lesion", "numeric") for name in columns)
    audit = audit_data(data(sheet=replace(SHEET, columns=both), **columns))
    assert kinds(audit)["metadata baseline"] == "warning"
    assert "label proxy" not in kinds(audit)
    noise = {"left": large.tolist(), "right": signs.tolist()}
    assert "metadata baseline" not in kinds(audit_data(data(sheet=SHEET, **noise)))


def test_equal_images_of_two_labels_are_told() -> None:
    images = [IMAGES[2], *IMAGES[1:]]
    found = {item.kind: item.text for item in audit_with_images(data(images=images)).findings}
    assert found["contradicting labels"].startswith("1 pairs of equal images have two labels")
    assert "contradicting labels" not in kinds(
        audit_with_images(data(images=[IMAGES[1]] * 2 + IMAGES[2:]))
    )


def test_pictures_whose_size_tells_the_label_are_a_warning() -> None:
    sizes = [(40, 30) if row // 2 % 2 else (30, 30) for row in range(ROWS)]  # b wider, see data()
    pictures = [encode(noise(size, seed=row)) for row, size in enumerate(sizes)]
    audit = audit_with_images(data(images=pictures))
    (found,) = (item for item in audit.findings if item.kind == "image size")
    assert found.severity == "warning"
    assert found.text.startswith("the picture's width in pixels alone tells")
    assert "AUROC 1.000" in found.text
    assert "image size" not in kinds(
        audit_with_images(data(images=["none", *pictures[2::2] * 3][:ROWS]))
    )


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
    told = json.loads(result.stdout)
    found = {item["kind"]: item["text"] for item in told["findings"]}
    assert {"exact duplicates", "broken files", "constant", "id-like"} <= set(found)
    assert "has no column 'label'; columns were not scored" in found["no label"]
    assert "with --label" in found["no label"]
    assert "measure" not in found["no label"]
    assert (told["label"], told["classes"], told["baselines"]) == (None, {}, [])
    assert {column["value_auroc"] for column in told["columns"]} == {None}
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
    audit = audit_data(ImageData("typed", rows, Sheet("typed")))
    assert {facts.name: facts.value_auroc for facts in audit.columns} == dict.fromkeys(
        ("boxes", "flag", "day"), 1.0
    )
    assert {item.name: item.auroc for item in audit.baselines}["metadata"] == 1.0


def test_a_label_of_one_class_is_told_and_not_scored_against() -> None:
    found = audit_data(build_data(["a"] * ROWS, images=IMAGES, site=["x", "y"] * 30))
    assert kinds(found)["no label"] == "warning"
    assert "has only 'a'" in found.findings[0].text


def test_the_first_label_that_is_there_is_scored_against() -> None:
    sheet = replace(SHEET, labels=("diagnosis", "label"))
    found = audit_data(data(sheet=sheet)).labels
    assert found is not None
    assert found.name == "label"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "typo"}, "no label 'typo'"),
        ({"against": "typo"}, "unknown data set 'typo'"),
        ({"splits_file": Path("typo.csv")}, "no table at typo.csv"),
        ({"folds": 5, "fold": 5}, "fold must be 0 to 4 with folds=5, got 5"),
        ({"fold": 1}, "fold=1 needs folds"),
    ],
)
def test_what_is_mistyped_is_told_before_an_image_is_read(
    options: dict[str, Any], message: str
) -> None:
    found = data()
    with pytest.raises(InputError, match=message):
        audit_data(found, images=True, **options)
    assert "images" not in vars(found)  # which caches them


def test_a_report_is_whole_and_its_json_strict(tmp_path: Path) -> None:
    audit = audit_with_images(data(images=[IMAGES[1], *IMAGES[1:]], smoke=[None] * ROWS))
    write_audit(tmp_path / "out", audit)
    stored = json.loads((tmp_path / "out/audit.json").read_text())
    assert stored == json.loads(json.dumps(audit_json(audit), allow_nan=False))
    page = (tmp_path / "out/audit.html").read_text()
    assert page.count("data:image/png;base64") == 1 + len(audit.pairs)
    assert "i0 | i1" in (tmp_path / "out/audit.md").read_text()


def test_columns_of_any_name_and_number_are_reported(tmp_path: Path) -> None:
    names = ["a$b_{$", "$x^$ and $y", "<b>", "a|b", "two\nlines", "\u4e2d\u6587", "long " * 60]
    columns = {name: [0.0, 0.5, 1.0, 1.5] * 15 for name in names}
    columns |= {f"measure {number}": [1.0, 2.0] * 30 for number in range(80)}
    write_audit(tmp_path / "out", audit_data(data(**columns)))
    page = (tmp_path / "out/audit.html").read_text()
    assert "(the best 80 of 89)" in page
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    lines = (tmp_path / "out/audit.md").read_text().splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in table if "measure" in line}) == 1
    assert any(line.startswith("| two lines |") for line in table)


def test_a_report_that_fails_leaves_nothing(tmp_path: Path) -> None:
    audit = audit_data(data())
    broken = replace(audit, findings=[Finding("note", "x", "\ud800")])  # no text to encode
    with pytest.raises(UnicodeEncodeError):
        write_audit(tmp_path / "out", broken)
    assert not any(path for path in tmp_path.iterdir() if "out" in path.name)


def test_a_place_for_the_report_that_cannot_be_is_told_at_once(
    run_cli: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "file/a/b"
    told = f"--output {place} cannot be made: {tmp_path / 'file'} is a file"
    assert_bad_input(run_cli("data", "audit", "none", "-o", place), told)


def test_the_lesion_sample_is_found_to_leak(run_cli: Callable[..., Result], tmp_path: Path) -> None:
    result = run_cli("data", "audit", "lesions", "--no-images", "--label", "malignant",
                     "-o", tmp_path / "out", "--json")  # fmt: skip
    assert result.exit_code == 3
    findings = json.loads(result.stdout)["findings"]
    leaks = {item["kind"] for item in findings if item["severity"] == "leak"}
    assert leaks == {"missingness", "missingness baseline"}
    (biopsed,) = (item["text"] for item in findings if "'biopsed'" in item["text"])
    assert float(biopsed.split("AUROC ")[-1].split(";")[0]) > 0.85
    assert_bad_input(run_cli("data", "audit", "lesions", "-o", tmp_path / "out"), "exists")


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
