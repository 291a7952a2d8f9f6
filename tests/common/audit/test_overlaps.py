"""What two data sets, or a data set and an encoder, share is found, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.small_data import build_data, image_bytes, write_images, write_text
from helpers.tiny_encoders import export
from toolkit_common.audit.duplicates import hash_images
from toolkit_common.audit.overlaps import find_overlaps, hash_group, load_other
from toolkit_common.data.dataset import ImageData
from toolkit_common.errors import InputError
from toolkit_common.sources.load import load_data

ROWS = 12
IMAGES = [image_bytes(row) for row in range(2 * ROWS)]


def data(**columns: Any) -> ImageData:
    return build_data(["a", "b"] * (ROWS // 2), **({"images": IMAGES[:ROWS]} | columns))


def names(prefix: str, first: int = 0) -> list[str]:
    return [f"{prefix}{first + row // 2}" for row in range(ROWS)]


def told(own: ImageData, other: ImageData, *, images: bool = False) -> dict[str, bool]:
    hashes = hash_images(own) if images else None
    return {item.text: item.leak for item in find_overlaps(own, other, hashes=hashes)}


def test_shared_patients_and_images_are_leaks() -> None:
    first, second = data(patient_id=names("p")), data(patient_id=["p3"] * ROWS)
    assert told(first, second, images=True) == {
        "1 patient_id values are in both (first: p3)": True,
        "12 images are pixel by pixel in both": True,
    }


def test_patients_are_found_under_any_name_and_told_once() -> None:
    named = data(patient_id=names("p"), groups=names("p"), lesion_id=names("l"))
    assert list(told(data(groups=names("p", 5)), data(patient_id=names("p")))) == [
        "1 group values are patient_id values there (first: p5)"
    ]
    assert list(told(named, data(groups=names("l", 5)))) == [
        "1 lesion_id values are group values there (first: l5)"
    ]
    assert list(told(named, data(groups=names("p", 5)))) == [
        "1 group values are in both (first: p5)"
    ]
    assert list(told(data(groups=names("p")), data(groups=names("p", 4)))) == [
        "2 group values are in both (first: p4)"
    ]
    assert list(told(named, data(patient_id=names("p"), groups=names("p")))) == [
        "6 patient_id values are in both (first: p0)"
    ]
    assert told(data(patient_id=names("x")), data(lesion_id=names("x"))) == {}


def test_patients_that_csv_tables_name_their_groups_are_found(tmp_path: Path) -> None:
    write_images(tmp_path, *(f"{row}.png" for row in range(4)))
    for name, first in (("one", 0), ("two", 1)):
        lines = [f"{row}.png,{'ab'[row % 2]},mrs {first + row}" for row in range(4)]
        write_text(tmp_path / f"{name}.csv", "\n".join(["image,label,who", *lines]))
    one, two = (load_data(f"csv:{tmp_path / name}.csv?group=who") for name in ("one", "two"))
    assert told(one, two) == {"3 group values are in both (first: mrs 1)": True}


def test_bare_numbers_may_be_others_and_long_ones_are_not() -> None:
    short, long = names(""), names("12340")
    ((text, leak),) = told(data(groups=short), data(groups=short)).items()
    assert "6 group values are in both (first: 0); they are bare numbers" in text
    assert not leak
    assert told(data(groups=long), data(groups=long)) == {
        "6 group values are in both (first: 123400)": True
    }
    numbers = [float(row // 2) for row in range(ROWS)]
    assert list(told(data(groups=numbers), data(groups=short))) == [text]


def test_equal_names_of_files_are_no_leak_where_pictures_differ(tmp_path: Path) -> None:
    write_images(tmp_path, *(f"{root}/{row % 2}/{row}.png" for root in "xy" for row in range(4)))
    first, second = (load_data(f"imagefolder:{tmp_path / root}") for root in "xy")
    assert set(first.table["image_id"]) == set(second.table["image_id"])
    assert told(first, second, images=True) == {}


def test_the_archives_ids_are_compared_wherever_they_stand() -> None:
    ids = [f"ISIC_00{row:05d}" for row in range(ROWS)]
    first = data(image_id=ids)
    second = data(image_id=[f"part/{name}_downsampled.jpg" for name in ids[3:]] + ["a", "b", "c"],
                  images=IMAGES[ROWS:])  # fmt: skip
    found = told(first, second, images=True)
    assert found == {
        "9 images of the ISIC archive are in both by their id (first: ISIC_0000003)": True
    }


def test_where_nothing_can_be_compared_that_is_told() -> None:
    (text,) = told(data(), data(groups=names("p")))
    assert "only ISIC ids were compared" in text


def test_patients_that_an_encoder_has_seen_are_found(tmp_path: Path) -> None:
    folder = export(tmp_path / "e")
    patients = data(groups=names("p"))
    with pytest.raises(InputError, match="e does not say which patients"):
        load_other(str(folder), patients)
    described = json.loads((folder / "encoder.json").read_text())
    described["provenance"] = {"groups_seen": [hash_group("p4"), hash_group("somebody")]}
    (folder / "encoder.json").write_text(json.dumps(described))
    other = load_other(str(folder), patients)
    for own in (patients, data(groups=[None, *names("p")[1:]]), data(lesion_id=names("p"))):
        (overlap,) = find_overlaps(own, other, hashes=None)
        assert overlap.leak
        assert "pre-trained on 1 groups of this set (first: p4)" in overlap.text
    with pytest.raises(InputError, match="'small' has no groups"):
        load_other(str(folder), data())
