"""Rows to judge on against whom an encoder has seen: by whom, how many, and what cannot be told."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.seen_rows import patients, record_of
from helpers.small_data import build_data
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.settings import SplitSettings
from toolkit_common.data.splits import make_splits
from toolkit_common.seen.compare import (
    FOREIGN,
    OLD_NOTE,
    OTHER_SPLITS,
    SILENT,
    Overlap,
    compare_rows,
)
from toolkit_common.seen.record import OLD_KEY, Contents, Record, rekeyed, unsalted_hash
from toolkit_common.seen.secret import make_secret

SIDES = {"test": np.arange(20), "val": np.arange(20, 40)}
TRAINED = np.arange(10)  # rows of p0 to p4


def compare(record: Record, data: ImageData) -> Overlap:
    return compare_rows([record], Contents(data), SIDES)


def test_patients_lesions_images_and_archive_ids_are_compared_across_data_sets() -> None:
    ids = [f"ISIC_00{row:05d}" for row in range(40)]
    lesions = [f"l{row}" for row in range(40)]
    seen = record_of(patients(lesion_id=lesions, image_id=ids), TRAINED)
    strangers = {"images": 40}
    assert compare(seen, patients("q", **strangers)).num_seen == 0
    by_group = compare(seen, patients("p", 2, **strangers))
    assert ({side: len(rows) for side, rows in by_group.seen.items()}, by_group.by) == (
        {"test": 6, "val": 0}, {"groups": 6},
    )  # fmt: skip
    assert by_group.people == {"test": (3, 10), "val": (0, 10)}
    assert compare(seen, patients("q", lesion_id=lesions[5:] + ["x"] * 5, **strangers)).by == {
        "lesions": 5
    }
    files = [f"a/{name}_x.jpg" for name in ids]
    assert compare(seen, patients("q", image_id=files, **strangers)).by == {"archive": 10}
    assert compare(seen, patients("q", 0)).by == {"images": 10}


def test_rows_without_a_group_are_of_no_group() -> None:
    names = [None if row < 3 else f"p{row // 2}" for row in range(40)]
    overlap = compare(record_of(patients(), TRAINED), patients("q", groups=names))
    assert overlap.people == {"test": (4, 9), "val": (0, 10)}


def test_a_patient_under_another_column_is_the_same() -> None:
    names = [f"p{row // 2}" for row in range(40)]
    seen = record_of(patients(), TRAINED)
    other = build_data(["a", "b"] * 20, patient_id=names)
    alone = replace(seen, digests={"groups": seen.of("groups")})
    assert compare(alone, other).by == {"patients": 10}


def test_bare_numbers_count_where_a_picture_is_shared_and_else_are_doubtful() -> None:
    seen = record_of(patients(""), TRAINED)
    other = compare(seen, patients("", 2, images=40))
    assert (other.num_seen, other.is_refused) == (0, False)
    assert "6 images to judge on are of patients or lesions whose bare number" in other.doubts[0]
    same = compare(seen, patients(""))
    assert (same.by, same.doubts) == ({"groups": 10, "images": 10}, ())
    numbers = [float(row // 2) for row in range(40)]
    assert compare(seen, patients(groups=numbers)).by == {"groups": 10, "images": 10}


def test_a_bare_number_of_a_lesion_is_no_patient_s() -> None:
    seen = record_of(patients(""), TRAINED)
    lesions = [str(row) for row in range(40)]
    own = patients("q", lesion_id=lesions)
    assert compare(seen, own).by == {"images": 10}


def test_splits_that_keep_them_apart_are_told_from_those_that_do_not() -> None:
    data = patients()
    for seed, is_seen in ((0, False), (1, True)):
        splits = make_splits(data, SplitSettings(split_seed=seed))
        sides = {side: splits[side] for side in ("test", "val")}
        overlap = compare_rows([record_of(data)], Contents(data), sides)
        assert overlap.is_refused == is_seen


def test_another_site_refuses_its_training_data_under_other_splits(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = patients()
    record = record_of(data)
    monkeypatch.setenv("TOOLKIT_SITE_SECRET", str(tmp_path / "another"))
    for train, doubts in ((make_splits(data).train, ()), (np.arange(20), (OTHER_SPLITS,))):
        overlap = compare_rows([record], Contents(data), SIDES, train=lambda train=train: train)
        assert (overlap.doubts, overlap.is_refused) == (doubts, bool(doubts))
    for other in (patients(images=20), patients("q", images=40)):
        overlap = compare_rows([record], Contents(other), SIDES, train=lambda: np.arange(20))
        assert (overlap.doubts, overlap.is_refused, overlap.num_seen) == ((FOREIGN,), False, 0)


def test_hashes_of_before_are_compared_with_a_note_and_still_under_a_key() -> None:
    values = np.array(sorted(int(unsalted_hash(name), 16) for name in ("p1", "p15")), np.uint64)
    old = Record(OLD_KEY, {"unsalted": values})
    data = patients(images=40)
    overlap = compare(old, data)
    assert (overlap.by, overlap.notes) == ({"unsalted": 4}, (OLD_NOTE,))
    assert {side: list(rows) for side, rows in overlap.seen.items()} == {
        "test": [2, 3], "val": [30, 31],
    }  # fmt: skip
    new = compare(rekeyed(old, make_secret()), data)
    assert (new.by, new.notes) == ({"unsalted": 4}, ())


def test_bare_numbers_of_before_count_in_the_data_set_that_they_are_of() -> None:
    data = patients("")
    values = np.array([int(unsalted_hash("3"), 16)], np.uint64)
    old = Record(OLD_KEY, {"unsalted": values}, fingerprint=data.fingerprint())
    assert compare(old, data).by == {"unsalted": 2}
    assert compare(old, patients("", images=40)).num_seen == 0


def test_an_encoder_that_says_nothing_is_doubtful() -> None:
    overlap = compare(Record(""), patients())
    assert (overlap.doubts, overlap.is_refused) == ((SILENT,), False)


def test_of_several_ancestors_each_is_compared() -> None:
    first, second = record_of(patients(), TRAINED), record_of(patients("q", images=40), TRAINED)
    both = compare_rows([first, second], Contents(patients("q", images=40)), SIDES)
    assert both.num_seen == 10
    assert both.counted() == (
        "10 of 20 test images (5 of 10 groups) and 0 of 20 val images (0 of 10 groups); "
        "10 by group, 10 by image"
    )
