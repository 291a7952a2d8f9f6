"""A task: data loaded, checked, labelled and split in one go."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.small_data import write_images, write_text
from toolkit_common.errors import InputError
from toolkit_probing.settings import FeatureSettings
from toolkit_probing.task.task import Task, load_task


def load(data: str, **chosen: Any) -> Task:
    return load_task(FeatureSettings(data=data, **chosen))


def write_table(folder: Path, *, num_patients: int = 15, per_patient: int = 2) -> str:
    rows = [(f"{patient}-{photo}.png", "ab"[patient % 2], f"p{patient}")
            for patient in range(num_patients) for photo in range(per_patient)]  # fmt: skip
    write_images(folder, *(name for name, *_ in rows))
    text = "".join(f"{','.join(row)}\n" for row in rows)
    return f"csv:{write_text(folder / 't.csv', 'image,label,group' + chr(10) + text)}"


def test_a_folder_becomes_a_task(image_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = load(f"imagefolder:{image_folder}")
    assert task.labels.classes == ("dark", "light")
    assert task.rows.tolist() == list(range(24))
    assert task.targets.tolist() == [0] * 12 + [1] * 12
    assert task.bad_files.empty
    messages = capsys.readouterr().err
    assert "data: images, label 'label' with 2 classes, train 14, val 5, test 5" in messages


def test_positions_point_into_the_rows_of_all_splits(tmp_path: Path) -> None:
    task = load(write_table(tmp_path))
    for split in ("train", "val", "test"):
        positions = task.positions(split)
        assert np.array_equal(task.rows[positions], task.splits[split])
        assert np.array_equal(task.targets[positions], task.targets_of(split))


def test_groups_of_a_split_are_patients_or_rows(tmp_path: Path, image_folder: Path) -> None:
    task = load(write_table(tmp_path / "x"))
    assert set(task.groups_of("test")) <= {f"p{patient}" for patient in range(15)}
    assert not set(task.groups_of("test")) & set(task.groups_of("train"))
    plain = load(f"imagefolder:{image_folder}")
    assert plain.groups_of("val").tolist() == list(map(str, plain.splits.val))


def test_bad_files_are_left_out_and_nobody_changes_sides(tmp_path: Path) -> None:
    text = write_table(tmp_path)
    before = load(text)
    lost = before.splits.test[0]
    (tmp_path / before.data.table["image_id"][lost]).write_bytes(b"")
    with pytest.raises(InputError, match=r"\.png: the file is empty: mend or remove it"):
        load(text)
    after = load(text, bad_files="skip")
    assert after.bad_files["row"].tolist() == [lost]
    assert after.splits.test.tolist() == before.splits.test.tolist()[1:]
    assert np.array_equal(after.splits.train, before.splits.train)
    assert lost not in after.rows


def test_splits_that_cannot_be_are_refused_before_any_image_is_read(
    image_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unexpected(*args: object, **options: object) -> None:
        raise AssertionError("images were read")

    monkeypatch.setattr("toolkit_probing.task.task.check_images", unexpected)
    with pytest.raises(InputError, match=r"no table at typo\.csv"):
        load(f"imagefolder:{image_folder}", splits=Path("typo.csv"))


def test_images_without_a_label_are_not_looked_at(tmp_path: Path) -> None:
    text = write_table(tmp_path).replace("csv:", "")
    lines = Path(text).read_text().splitlines()
    rows = [
        f"{line},{'' if place == 3 else 'xy'[place % 2]}" for place, line in enumerate(lines[1:])
    ]
    write_text(Path(text), "\n".join([f"{lines[0]},dx", *rows]))
    (tmp_path / lines[4].split(",")[0]).write_bytes(b"broken")
    task = load(f"csv:{text}", label="dx")
    assert 3 not in task.rows
    assert task.labels.name == "dx"


def test_the_split_seed_and_label_are_passed_on(tmp_path: Path) -> None:
    text = write_table(tmp_path)
    first, second = load(text, split_seed=0), load(text, split_seed=1)
    assert first.splits.test.tolist() != second.splits.test.tolist()
    with pytest.raises(InputError, match="has no label 'dx'"):
        load(text, label="dx")


@pytest.mark.slow
def test_premalignant_diagnoses_can_be_dropped() -> None:
    task = load("lesions", label="malignant", premalignant_as="drop")
    diagnoses = set(task.data.table["diagnosis"].iloc[task.rows])
    assert diagnoses == {"BCC", "MEL", "NEV", "SCC", "SEK"}


@pytest.mark.slow
def test_the_map_of_the_label_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    load("lesions", label="malignant")
    messages = capsys.readouterr().err
    assert "label map: malignant is BCC 133, MEL 33, SCC 17; benign is ACK 88 (premalig" in messages
    load("lesions")
    assert "label map" not in capsys.readouterr().err


def test_counting_premalignant_diagnoses_is_refused_where_it_changes_nothing() -> None:
    with pytest.raises(InputError, match=r"premalignant_as=drop is .* and 'diagnosis' is to be"):
        load("lesions", premalignant_as="drop")
