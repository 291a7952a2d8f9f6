"""`toolkit data` looks at a data set before anything is computed on it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import Result

from conftest import assert_bad_input
from toolkit_common.audit.shown.examples import TILE
from toolkit_common.synthetic.make import make_data

RunCli = Callable[..., Result]


def test_describe_prints_for_people(run_cli: RunCli) -> None:
    result = run_cli("data", "describe", "digits")
    assert result.exit_code == 0
    assert "1797" in result.stdout.replace(",", "")


def test_describe_prints_json(run_cli: RunCli, image_folder: Path) -> None:
    result = run_cli("data", "describe", f"imagefolder:{image_folder}", "--json")
    assert result.exit_code == 0
    described = json.loads(result.stdout)
    assert described["images"] == 24
    assert list(described["labels"]["label"].values()) == [12, 12]


@pytest.mark.parametrize("command", ["describe", "audit", "schema"])
def test_premalignant_as_is_an_option_of_every_command(run_cli: RunCli, command: str) -> None:
    result = run_cli("data", command, "digits", "--premalignant-as", "drop")
    assert_bad_input(result, "'digits?premalignant_as=drop' knows no premalignant diagnoses")


@pytest.mark.slow
def test_describe_prints_which_diagnosis_counts_as_what(run_cli: RunCli) -> None:
    options = ["data", "describe", "lesions", "--premalignant-as", "malignant"]
    described = json.loads(run_cli(*options, "--json").stdout)
    assert described["id"] == "lesions?premalignant_as=malignant"
    assert described["label_map"]["malignant"] == {"ACK": 88, "BCC": 133, "MEL": 33, "SCC": 17}
    assert described["premalignant"] == ["ACK"]
    line = "label map: malignant is ACK 88 (premalignant), BCC 133"
    assert line in run_cli(*options).stdout


@pytest.fixture
def ham10000(tmp_path: Path) -> Path:
    make_data("ham10000", tmp_path / "set", rows=12, seed=1, layout="flat", pool=None)
    return tmp_path / "set"


@pytest.mark.slow
def test_rows_without_image_can_be_left_out(run_cli: RunCli, ham10000: Path) -> None:
    next(ham10000.rglob("*.jpg")).unlink()
    place = f"ham10000:{ham10000}"
    assert_bad_input(run_cli("data", "describe", place), "1 of 12 images are not under")
    described = json.loads(run_cli("data", "describe", place, "--allow-partial", "--json").stdout)
    assert (described["id"], described["images"]) == (f"{place}?allow_partial=1", 11)
    assert any(note.startswith("1 of 12 rows are left out") for note in described["notes"])
    assert_bad_input(run_cli("data", "audit", place), "1 of 12 images are not under")
    audited = json.loads(run_cli("data", "audit", place, "--allow-partial", "--json").stdout)
    assert (audited["id"], audited["images"]) == (f"{place}?allow_partial=1", 11)
    refused = run_cli("data", "describe", "digits", "--allow-partial")
    assert_bad_input(refused, "unknown option 'allow_partial'")


@pytest.mark.slow
def test_a_label_is_checked_with_and_without_pictures(run_cli: RunCli) -> None:
    for more in ([], ["-o", "sheet.png"]):
        result = run_cli("data", "describe", "digits", "--label", "nope", *more)
        assert_bad_input(result, "has no label 'nope'")
    assert not Path("sheet.png").exists()


@pytest.mark.parametrize(
    ("command", "output", "printed"),
    [
        ("describe", "afile/x.png", "--output in afile cannot be made: "),
        ("describe", "/proc/x/y.png", "--output in /proc/x cannot be written"),
        ("audit", "/proc/x", "--output /proc/x cannot be written"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_data_are_read(
    run_cli: RunCli, command: str, output: str, printed: str
) -> None:
    Path("afile").touch()
    assert_bad_input(run_cli("data", command, "none", "-o", output), printed)


@pytest.mark.slow
def test_data_without_labels_are_pictured(run_cli: RunCli, tmp_path: Path) -> None:
    make_data("slice-3d", tmp_path / "set", rows=12, seed=1, layout="kaggle", pool=None)
    (tmp_path / "set" / "train-metadata.csv").unlink()
    text = f"slice-3d:{tmp_path / 'set'}"
    assert run_cli("data", "describe", text, "-o", "sheet.png").exit_code == 0
    with Image.open("sheet.png") as sheet:
        assert sheet.height < 2 * TILE


def test_without_an_action_the_actions_are_listed(run_cli: RunCli) -> None:
    assert "describe" in run_cli("data").output


def test_an_unknown_data_set_is_answered_with_its_neighbours(run_cli: RunCli) -> None:
    assert_bad_input(run_cli("data", "describe", "digit"), "'digit'", "did you mean 'digits'")


def test_a_missing_file_is_named(run_cli: RunCli) -> None:
    assert_bad_input(run_cli("data", "describe", "csv:none.csv"), "none.csv")


def test_example_pictures_are_written_once(run_cli: RunCli, image_folder: Path) -> None:
    text = f"imagefolder:{image_folder}"
    assert run_cli("data", "describe", text, "-o", "sheet.png").exit_code == 0
    assert Path("sheet.png").read_bytes().startswith(b"\x89PNG")
    assert_bad_input(run_cli("data", "describe", text, "-o", "sheet.png"), "sheet.png")
    assert_bad_input(run_cli("data", "describe", text, "-o", "sheet.jpg"), "sheet.jpg")


@pytest.mark.parametrize(
    ("words", "following"),
    [
        ("describe lesions --premalignant-as drop", "data audit lesions --premalignant-as drop"),
        ("audit digits --label label --no-images",
         "probe --method ep,linear,knn --data digits --label label"),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_the_next_command_reads_the_data_as_this_one(
    run_cli: RunCli, words: str, following: str
) -> None:
    result = run_cli("data", *words.split())
    assert result.stderr.endswith(f"next: toolkit {following}\n")
