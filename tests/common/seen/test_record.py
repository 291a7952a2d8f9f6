"""What an export keeps of whom it was trained on: written, read back, and nobody named."""

import json
from pathlib import Path

import numpy as np
import pytest

from helpers.seen_rows import export_seen, patients, record_of
from helpers.small_data import build_data
from toolkit_common.backbones.exported import sealed
from toolkit_common.errors import InputError
from toolkit_common.runs.files import write_json
from toolkit_common.seen.record import (
    NO_KEY,
    OLD_KEY,
    SEEN,
    Contents,
    name_of,
    names_of,
    read_seen,
    rekeyed,
    unsalted_hash,
)
from toolkit_common.seen.secret import key_id, keyed_digests, make_secret


def test_a_record_holds_digests_of_the_training_rows_alone() -> None:
    record = record_of(patients(), np.arange(4))
    secret = make_secret()
    assert record.key_id == key_id(secret)
    assert set(record.of("groups")) == set(keyed_digests(secret, "groups", ["p0", "p1"]))
    assert {kind: len(values) for kind, values in record.digests.items()} == {
        "groups": 2, "archive": 0, "images": 4,
    }  # fmt: skip
    assert record.num_images == 40


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    lesions = [f"l{row}" for row in range(40)]
    records = (record_of(patients()), record_of(patients("q", lesion_id=lesions)))
    read = read_seen(export_seen(tmp_path / "e", *records))
    for expected, actual in zip(records, read, strict=True):
        assert actual.to_json() == expected.to_json()
        for kind in expected.digests:
            assert np.array_equal(actual.of(kind), expected.of(kind))


def test_no_id_is_in_the_files(tmp_path: Path) -> None:
    ids = [f"ISIC_00{row:05d}" for row in range(40)]
    data = patients("Mrs_Smith_", patient_id=[f"Mr_{row // 2}" for row in range(40)], image_id=ids)
    folder = export_seen(tmp_path / "e", record_of(data))
    for path in folder.iterdir():
        content = path.read_bytes()
        assert not any(word in content for word in (b"Mrs_", b"Mr_", b"ISIC_"))


def test_fingerprints_depend_on_contents_and_not_on_order_or_names() -> None:
    data, other = patients(), patients("q", image_id=[f"name{row}" for row in range(40)])
    rows = np.arange(40)
    assert Contents(data).fingerprint(rows) == Contents(other).fingerprint(rows[::-1])
    assert Contents(data).fingerprint(rows) != Contents(data).fingerprint(rows[1:])


def test_a_group_that_repeats_the_patient_is_no_further_name() -> None:
    names = [f"p{row // 2}" for row in range(40)]
    assert set(names_of(patients(patient_id=names))) == {"patients"}
    assert set(names_of(patients("q", patient_id=names))) == {"patients", "groups"}
    numbers = [float(row) if row else None for row in range(40)]
    (lesions,) = names_of(build_data(["a", "b"] * 20, lesion_id=numbers)).values()
    assert list(lesions[:3]) == [None, "1", "2"]


def test_one_person_has_one_name_however_it_is_spelled() -> None:
    spelled = ["7", 7, 7.0, "7.00", " 7", "Jose\u0301  A", "Jos\u00e9 A", "007", "nan", None]
    names = [name_of(value) for value in (*spelled, float("nan"))]
    assert names == ["7"] * 5 + ["Jos\u00e9 A"] * 2 + ["007"] + [None] * 3


def test_an_export_that_says_nothing_is_a_record_without_a_key(tmp_path: Path) -> None:
    (record,) = read_seen(export_seen(tmp_path / "e"))
    assert record.key_id == NO_KEY


def test_hashes_of_before_are_read_and_put_under_the_key(tmp_path: Path) -> None:
    old = [unsalted_hash("p4"), unsalted_hash("p5")]
    (record,) = read_seen(export_seen(tmp_path / "e", groups_seen=old))
    assert record.key_id == OLD_KEY
    secret = make_secret()
    new = rekeyed(record, secret)
    assert new.key_id == key_id(secret)
    assert set(new.of("unsalted")) == set(keyed_digests(secret, "unsalted", old))
    assert rekeyed(new, secret) is new


@pytest.mark.parametrize("harm", ["absent", "changed", "cut"])
def test_a_missing_or_damaged_file_is_refused(tmp_path: Path, harm: str) -> None:
    folder = export_seen(tmp_path / "e", record_of(patients()))
    if harm == "absent":
        (folder / SEEN).unlink()
    elif harm == "changed":
        (folder / SEEN).write_bytes((folder / SEEN).read_bytes() + b"0")
    else:
        described = json.loads((folder / "encoder.json").read_text())
        del described["provenance"]["seen"]["records"][0]["key_id"]
        write_json(folder / "encoder.json", sealed(described))
    with pytest.raises(InputError, match=r"seen\.safetensors is (missing or )?damaged"):
        read_seen(folder)
