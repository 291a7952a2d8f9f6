"""Synthetic data sets: reproducible, labelled, whole, and with pictures that carry the table."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import Result

from conftest import assert_bad_input
from toolkit_common.errors import InputError
from toolkit_common.images.open import open_image
from toolkit_common.sources.load import load_data
from toolkit_common.synthetic import make as making
from toolkit_common.synthetic.draw import draw_image, draw_looks, lab_to_rgb
from toolkit_common.synthetic.make import make_data
from toolkit_common.synthetic.order import Order

RunCli = Callable[..., Result]


def test_the_same_seed_writes_the_same_data(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        make_data("slice-3d", tmp_path / name, rows=12, seed=seed, layout=None, pool=10)
    first, same, other = ((tmp_path / name / "train-metadata.csv").read_text() for name in "abc")
    assert first == same
    assert first != other


def test_the_table_has_the_columns_of_the_real_one(tmp_path: Path) -> None:
    make_data("slice-3d", tmp_path / "set", rows=400, seed=0, layout=None, pool=10)
    table = pd.read_csv(tmp_path / "set" / "train-metadata.csv", dtype=object)
    assert table.shape == (400, 55)
    assert list(table)[:3] == ["isic_id", "target", "patient_id"]
    assert list(table)[-1] == "tbp_lv_dnn_lesion_confidence"
    assert table[["age_approx", "sex", "anatom_site_general"]].isna().any().all()
    assert table["lesion_id"].isna().mean() > 0.5
    test = pd.read_csv(tmp_path / "set" / "test-metadata.csv")
    assert test.shape == (3, 44)
    assert (test["tbp_lv_stdLExt"] == test["tbp_lv_Lext"]).sum() == 2


def test_every_value_that_the_real_set_has_occurs(tmp_path: Path) -> None:
    make_data("slice-3d", tmp_path / "set", rows=4000, seed=0, layout=None, pool=10)
    table = pd.read_csv(tmp_path / "set" / "train-metadata.csv", low_memory=False)
    distinct = table.nunique()
    counts = {"tbp_lv_location": 21, "tbp_lv_location_simple": 8, "age_approx": 17, "sex": 2,
              "anatom_site_general": 5, "attribution": 7, "tbp_tile_type": 2, "iddx_3": 8,
              "copyright_license": 3, "image_type": 1}  # fmt: skip
    assert distinct[list(counts)].to_dict() | {"iddx_3": 8} == counts
    assert distinct["iddx_3"] >= 6  # one of 393 is a metastasis
    assert (table["age_approx"].min(), table["age_approx"].max()) == (5, 85)
    places = table.groupby("tbp_lv_location")["tbp_lv_location_simple"].nunique()
    assert (places == 1).all()


def test_the_layout_of_kaggle_holds_its_example_of_a_submission(tmp_path: Path) -> None:
    make_data("slice-3d", tmp_path / "set", rows=12, seed=0, layout="kaggle", pool=None)
    names = {path.name for path in (tmp_path / "set").iterdir()} - {"SYNTHETIC.md"}
    assert names == {"train-metadata.csv", "train-image.hdf5", "test-metadata.csv",
                     "test-image.hdf5", "sample_submission.csv"}  # fmt: skip
    example = pd.read_csv(tmp_path / "set" / "sample_submission.csv")
    test = pd.read_csv(tmp_path / "set" / "test-metadata.csv")
    assert list(example) == ["isic_id", "target"]
    assert example["isic_id"].tolist() == test["isic_id"].tolist()


def test_the_permissive_layout_has_as_many_rows_as_are_asked_for(tmp_path: Path) -> None:
    make_data("slice-3d", tmp_path / "set", rows=50, seed=0, layout="permissive", pool=10)
    folder = tmp_path / "set" / "ISIC_2024_Permissive_Training_Input"
    assert len(list(folder.glob("*.jpg"))) == len(pd.read_csv(folder / "metadata.csv")) == 50


@pytest.mark.parametrize("place", ["file/x", "file/x/y"])
def test_a_folder_below_a_file_cannot_be_made(place: str, run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    out = str(tmp_path / place)
    done = run_cli("data", "make", "ph2", out, "--rows", "10")
    assert_bad_input(done, f"the folder {out} cannot be made: {tmp_path / 'file'} is a file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_hdf5_holds_the_bytes_of_jpeg_files(tmp_path: Path) -> None:
    make_data("slice-3d", tmp_path / "set", rows=10, seed=0, layout=None, pool=10)
    with h5py.File(tmp_path / "set" / "train-image.hdf5") as file:
        item = file[next(iter(file))]
        assert item.shape == ()
        assert np.asarray(item).tobytes().startswith(b"\xff\xd8")


def test_pictures_carry_their_metadata(tmp_path: Path) -> None:
    make_data("slice-3d", tmp_path / "set", rows=60, seed=0, layout=None, pool=60)
    data = load_data(f"slice-3d:{tmp_path / 'set'}")
    dark, area = [], []
    for row in data.images:
        grey = np.asarray(open_image(row["image"]).convert("L"), float)
        middle = len(grey) // 2
        skin, lesion = (
            np.median(grey[:8]),
            grey[middle - 2 : middle + 2, middle - 2 : middle + 2].mean(),
        )
        dark.append(lesion)
        area.append(((skin - grey) / (skin - lesion)).mean())
    assert np.corrcoef(dark, data.table["tbp_lv_L"])[0, 1] > 0.9
    assert np.corrcoef(area, data.table["tbp_lv_areaMM2"])[0, 1] > 0.8


def test_lab_of_grey_is_grey() -> None:
    grey = lab_to_rgb(np.array([[[0.0, 0, 0], [53.585, 0, 0], [100, 0, 0]]]))
    np.testing.assert_allclose(grey[0], [[0] * 3, [128] * 3, [255] * 3], atol=1)


def test_an_asymmetric_lesion_is_drawn_so() -> None:
    rng = np.random.default_rng(0)
    look = draw_looks(np.array([True]), rng).iloc[0].copy()
    look["angle"], look["border"] = 0, 0.0
    halves = {}
    for asymmetry in (0.0, 1.0):
        look["asymmetry"] = asymmetry
        grey = np.asarray(draw_image(look, 128, rng).convert("L"), float)
        is_lesion = grey < (grey.min() + grey.max()) / 2
        halves[asymmetry] = is_lesion[:, 64:].sum() / is_lesion[:, :64].sum()
    assert halves[1.0] > 1.2 > 1.1 > halves[0.0]


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
