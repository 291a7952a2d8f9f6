"""Synthetic data sets: reproducible, labelled, whole."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import Result

from conftest import assert_bad_input
from toolkit_common import extras
from toolkit_common.errors import InputError
from toolkit_common.synthetic import make as making
from toolkit_common.synthetic.cohort import Order
from toolkit_common.synthetic.make import make_data

RunCli = Callable[..., Result]


@pytest.mark.slow
def test_the_same_seed_writes_the_same_data(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        make_data("slice-3d", tmp_path / name, rows=12, seed=seed, layout=None, pool=10)
    first, same, other = ((tmp_path / name / "train-metadata.csv").read_text() for name in "abc")
    assert first == same
    assert first != other


@pytest.mark.parametrize("place", ["file/x", "file/x/y"])
def test_a_folder_below_a_file_cannot_be_made(place: str, run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    out = str(tmp_path / place)
    done = run_cli("data", "make", "ph2", out, "--rows", "10")
    assert_bad_input(done, f"the folder {out} cannot be made: {tmp_path / 'file'} is a file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layout": "zip"}, "layout of 'slice-3d' must be one of kaggle, .*, got 'zip'"),
        ({"rows": 9}, "rows must be at least 10, got 9"),
        ({"name": "ph2", "pool": 20}, "pool is for slice-3d alone, got 20: every image of 'ph2'"),
        ({"pool": 3}, "pool must be at least 10, got 3"),
        ({"seed": -1}, "seed must not be negative, got -1"),
        ({"name": "slice-4d"}, "synthetic data set 'slice-4d'; did you mean 'slice-3d'"),
    ],
)
def test_bad_requests_are_answered(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    given = {"name": "slice-3d", "rows": 10, "seed": 0, "layout": None, "pool": None} | changes
    name = str(given.pop("name"))
    with pytest.raises(InputError, match=message):
        make_data(name, tmp_path / "set", **given)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(out: Path, order: Order) -> None:
        (out / "half").write_text(order.layout)
        raise OSError("disk full")

    monkeypatch.setitem(making.MAKERS, "slice-3d", (fail, ("kaggle",)))
    with pytest.raises(OSError, match="disk full"):
        make_data("slice-3d", tmp_path / "set", rows=10, seed=0, layout=None, pool=None)
    assert list(tmp_path.iterdir()) == []


def test_the_command_labels_what_it_writes(run_cli: RunCli, tmp_path: Path) -> None:
    out = tmp_path / "set"
    done = run_cli("data", "make", "slice-3d", str(out), "--rows", "12", "--layout", "isic")
    assert done.exit_code == 0, done.output
    assert "12 synthetic rows of slice-3d, layout isic" in done.stdout
    assert "No person" in (out / "SYNTHETIC.md").read_text()
    with Image.open(next((out / "ISIC_2024_Training_Input").glob("*.jpg"))) as image:
        assert image.width == image.height
    assert_bad_input(run_cli("data", "make", "slice-3d", str(out)), str(out), "exists")


@pytest.mark.parametrize(("name", "library"), [("ph2", "openpyxl"), ("slice-3d", "h5py")])
def test_formats_that_need_a_library_say_so_and_leave_nothing(
    name: str, library: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(extras, "is_installed", lambda wanted: wanted != library)
    message = f"writing .* needs {library}, .*: pip install 'toolkit-common.lesions.'$"
    with pytest.raises(InputError, match=message):
        make_data(name, tmp_path / "set", rows=10, seed=0, layout=None, pool=None)
    assert list(tmp_path.iterdir()) == []
