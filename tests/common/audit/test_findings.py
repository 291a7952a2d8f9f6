"""Planted leaks are found, and clean data are left alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from helpers.audited import (
    IMAGES,
    ROWS,
    SHEET,
    audit_with_images,
    data,
    kinds,
    run_audit,
    write_csv,
)
from helpers.small_data import build_data, encode, noise
from toolkit_common.audit.baselines import Baseline
from toolkit_common.audit.findings import baseline_findings
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.sheet import Column
from toolkit_common.sources.bare import bare_sheet
from toolkit_common.sources.load import load_data


def test_clean_data_has_no_leak() -> None:
    audit = audit_with_images(data())
    assert kinds(audit) == {"class balance": "note"}
    assert audit.findings[0].text == "30 images of each class"
    assert not audit.has_leak


def test_a_listed_column_that_is_read_and_telling_empty_cells_are_leaks() -> None:
    smoke = [None, None, "true", "false"] * (ROWS // 4)
    audit = run_audit(data(smoke=smoke, biopsed=["no", "no", "yes", "yes"] * 15))
    leaks = {item.kind: item.text for item in audit.findings if item.severity == "leak"}
    assert "'biopsed'" in leaks["post-dates the diagnosis"]
    assert "among the columns that are read" in leaks["post-dates the diagnosis"]
    assert "AUROC 1.000 from 'smoke'" in leaks["missingness"]


def test_a_listed_column_that_is_withheld_is_a_note_with_its_auroc() -> None:
    answers = ["no", "no", "yes", "yes"] * 15
    audit = run_audit(replace(data(), withheld=pd.DataFrame({"biopsed": answers})))
    (finding,) = (item for item in audit.findings if item.kind == "post-dates the diagnosis")
    assert finding.severity == "note"
    assert finding.text == (
        "column 'biopsed' is on the sheet's leak list (decided later), AUROC 1.000; withheld, "
        "never read"
    )
    assert not audit.has_leak
    rare = replace(data(), withheld=pd.DataFrame({"biopsed": [None, None, "yes", "yes"] * 15}))
    assert any("AUROC 1.000 by being empty" in item.text for item in run_audit(rare).findings)


@pytest.mark.slow
def test_a_table_without_a_sheet_is_held_against_the_archives_leak_lists() -> None:
    columns = {"dx_type": ["histo", "consensus"] * 30, "target": ["x", "y"] * 30}
    audit = run_audit(data(sheet=bare_sheet("bare"), **columns))
    (leak,) = (item for item in audit.findings if item.severity == "leak")
    assert "column 'dx_type' is on a leak list (how the diagnosis was confirmed" in leak.text
    assert not run_audit(data(**columns)).has_leak  # its own sheet knows better
    unread = replace(bare_sheet("bare"), unread={"dx_type": "may be a leak"})
    audit = run_audit(data(sheet=unread, **columns))
    assert kinds(audit)["post-dates the diagnosis"] == "note"
    unlabelled = replace(bare_sheet("bare"), labels=("none",))  # the column may be the label itself
    audit = run_audit(data(sheet=unlabelled, **columns))
    assert kinds(audit)["post-dates the diagnosis"] == "warning"


def test_a_doubled_image_across_splits_is_a_leak_and_a_broken_one_is_named() -> None:
    images = [IMAGES[59], b"no image", *IMAGES[2:]]
    splits = ["train"] * 40 + ["val"] * 10 + ["test"] * 10
    severities = kinds(audit_with_images(data(images=images, splits=splits)))
    assert (severities["exact duplicates"], severities["broken files"]) == ("leak", "warning")


def test_proxies_constants_and_ids_are_reported() -> None:
    columns = {
        "size": [0.0, 0.1, 1.0, 1.1] * 15,
        "site": ["x"] * ROWS,
        "code": [f"c{row}" for row in range(ROWS)],
    }
    severities = kinds(run_audit(data(**columns)))
    chosen = {name: severities[name] for name in ("label proxy", "constant", "id-like")}
    assert chosen == {"label proxy": "leak", "constant": "note", "id-like": "warning"}


@pytest.mark.slow
def test_what_chance_may_give_is_a_warning() -> None:
    groups = [f"p{row * 6 // ROWS}" for row in range(ROWS)]  # six patients, ten images each
    answers = [row * 6 // ROWS % 2 for row in range(ROWS)]
    columns = {
        "smoke": [None if hit else "true" for hit in answers],
        "size": list(map(float, answers)),
    }
    few = build_data(answers, groups=groups, images=IMAGES, sheet=SHEET, **columns)
    audit = run_audit(few)
    assert {kinds(audit)[name] for name in ("missingness", "label proxy")} == {"warning"}
    assert all("may be chance" in item.text for item in audit.findings if "proxy" in item.kind)
    assert not audit.has_leak
    alone = build_data(answers, images=IMAGES, sheet=SHEET, **columns)
    assert {kinds(run_audit(alone))[name] for name in ("missingness", "label proxy")} == {"leak"}


def many_classes(rare: int, *, rows: int = 1011) -> ImageData:
    """Four classes, the last of `rare` images, which a column and an empty cell tell alone."""
    rng = np.random.default_rng(0)
    is_rare = np.arange(rows) < rare
    return build_data(
        np.where(is_rare, "rare", rng.choice(["a", "b", "c"], rows)).tolist(),
        sheet=SHEET,
        site=np.where(is_rare, "face", "trunk").tolist(),
        asked=np.where(is_rare, None, "yes").tolist(),
    )


@pytest.mark.slow
@pytest.mark.parametrize(("rare", "severity"), [(16, "warning"), (60, "leak")])
def test_a_class_of_16_in_1011_does_not_decide(rare: int, severity: str) -> None:
    audit = run_audit(many_classes(rare))
    by_kind = {finding.kind: finding for finding in audit.findings}
    for kind in ("label proxy", "missingness"):
        assert by_kind[kind].severity == severity
        assert "'rare': AUROC 1.000" in by_kind[kind].text
        assert ("a class of so few images" in by_kind[kind].text) == (severity == "warning")
    assert audit.has_leak == (severity == "leak")


def test_the_missingness_baseline_is_no_leak_by_a_small_class_alone() -> None:
    rare = Baseline("missingness", 2, 0.9, 0.5, sure=True, large_auroc=0.6)
    assert [finding.severity for finding in baseline_findings([rare])] == ["warning"]
    both = replace(rare, large_auroc=0.8)
    assert [finding.severity for finding in baseline_findings([both])] == ["leak"]
    none = replace(rare, large_auroc=float("nan"))
    assert [finding.severity for finding in baseline_findings([none])] == ["warning"]


def test_acquisition_columns_that_predict_the_label_are_a_warning() -> None:
    columns = {"size": [0.0, 0.1, 1.0, 1.1] * 15, "smoke": [None, None, "true", "false"] * 15}
    of_site = replace(SHEET, columns=(), acquisition=dict.fromkeys(columns, "tells the site"))
    severities = kinds(run_audit(data(sheet=of_site, **columns)))
    chosen = {name: severities[name] for name in ("label proxy", "missingness", "acquisition")}
    assert set(chosen.values()) == {"warning"}


def test_cells_that_predict_the_label_together_are_a_leak(tmp_path: Path) -> None:
    """Three columns, each empty for another third of a class: none of them tells much alone."""
    is_b = np.arange(ROWS) % 2 == 1
    table: dict[str, list[Any]] = {"label": np.where(is_b, "b", "a").tolist()}
    for third in range(3):
        empty = is_b & (np.arange(ROWS) // 2 % 3 == third)
        table[f"answer {third}"] = [None if hit else "yes" for hit in empty]
    by_kind = {
        item.kind: item for item in run_audit(load_data(write_csv(tmp_path, table))).findings
    }
    assert "missingness" not in by_kind
    leak = by_kind["missingness baseline"]
    assert leak.severity == "leak"
    assert "test AUROC 1.000 from 3 columns" in leak.text


def test_columns_that_predict_the_label_together_are_a_warning() -> None:
    signs = np.random.default_rng(0).choice([-1.0, 1.0], ROWS)
    is_b = np.arange(ROWS) // 2 % 2 == 1  # as in data()
    large = 3 * np.random.default_rng(1).normal(size=ROWS)
    columns = {"left": (large + is_b).tolist(), "right": (large - is_b).tolist()}
    both = tuple(Column(name, "lesion", "numeric") for name in columns)
    audit = run_audit(data(sheet=replace(SHEET, columns=both), **columns))
    assert kinds(audit)["metadata baseline"] == "warning"
    assert "label proxy" not in kinds(audit)
    noise = {"left": large.tolist(), "right": signs.tolist()}
    assert "metadata baseline" not in kinds(run_audit(data(sheet=SHEET, **noise)))


@pytest.mark.slow
def test_equal_images_of_two_labels_are_reported() -> None:
    images = [IMAGES[2], *IMAGES[1:]]
    by_kind = {item.kind: item.text for item in audit_with_images(data(images=images)).findings}
    assert by_kind["contradicting labels"].startswith("1 pair of equal images has two labels")
    assert "contradicting labels" not in kinds(
        audit_with_images(data(images=[IMAGES[1]] * 2 + IMAGES[2:]))
    )


@pytest.mark.slow
def test_pictures_whose_size_predicts_the_label_are_a_warning() -> None:
    sizes = [(40, 30) if row // 2 % 2 else (30, 30) for row in range(ROWS)]  # b wider, see data()
    pictures = [encode(noise(size, seed=row)) for row, size in enumerate(sizes)]
    audit = audit_with_images(data(images=pictures))
    (finding,) = (item for item in audit.findings if item.kind == "image size")
    assert finding.severity == "warning"
    assert finding.text.startswith("the picture's width in pixels alone tells")
    assert "AUROC 1.000" in finding.text
    assert "image size" not in kinds(
        audit_with_images(data(images=["none", *pictures[2::2] * 3][:ROWS]))
    )
