"""Streams: the same rows and images as the files, read forward, never copied."""

from pathlib import Path

import numpy as np
import pytest
from accelerate import Accelerator
from datasets import ClassLabel, Dataset, Features, Image, IterableDataset, Value
from hypothesis import given
from hypothesis import strategies as st

from helpers.properties import few_examples
from helpers.small_data import image_bytes
from toolkit_common.backbones.load import load_backbone
from toolkit_common.data.check import check_images
from toolkit_common.data.dataset import ImageData
from toolkit_common.errors import InputError
from toolkit_common.features.encode import Extraction
from toolkit_common.features.extract import extract
from toolkit_common.images import streams
from toolkit_common.images.open import open_image
from toolkit_common.sources.load import load_data

NUM_TRAIN, NUM_TEST = 7, 3


def write_parquet(folder: Path, *, broken: int | None = None) -> Path:
    features = Features(
        image=Image(decode=False), label=ClassLabel(names=["a", "b"]), age=Value("float64")
    )
    count = NUM_TRAIN + NUM_TEST
    contents = [b"no image" if row == broken else image_bytes(row) for row in range(count)]
    rows = Dataset.from_dict(
        {
            "image": [{"bytes": content, "path": None} for content in contents],
            "label": [row % 2 for row in range(count)],
            "age": [float(row) for row in range(count)],
        },
        features=features,
    )
    folder.mkdir(parents=True)
    rows.select(range(4)).to_parquet(folder / "train-00000-of-00002.parquet")
    rows.select(range(4, NUM_TRAIN)).to_parquet(folder / "train-00001-of-00002.parquet")
    rows.select(range(NUM_TRAIN, count)).to_parquet(folder / "test-00000-of-00001.parquet")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_parquet(tmp_path_factory.mktemp("streams") / "parquet")


@pytest.fixture(scope="module")
def stream(folder: Path) -> ImageData:
    return load_data(f"hf:{folder}?streaming=1")


def is_right(data: ImageData, row: int) -> bool:
    """Whether a row has the image that was written with its metadata."""
    seed = int(data.table["age"].iloc[row])
    result = open_image(data.images[row]["image"])
    return np.array_equal(
        np.asarray(result), np.asarray(open_image({"bytes": image_bytes(seed), "path": None}))
    )


def origin(data: ImageData) -> str:
    (first, *_) = [key for key in data.image_keys if "split=train" in key]
    return first.partition("origin=")[2]


def test_a_stream_has_the_rows_of_the_files(folder: Path, stream: ImageData) -> None:
    whole = load_data(f"hf:{folder}")
    assert stream.table.equals(whole.table)
    assert stream.labels().classes == ("a", "b")
    assert stream.is_streamed
    assert not whole.is_streamed


@pytest.mark.slow
@few_examples
@given(rows=st.lists(st.integers(0, NUM_TRAIN + NUM_TEST - 1), max_size=12))
def test_images_are_those_of_their_rows_in_any_order(stream: ImageData, rows: list[int]) -> None:
    assert all(is_right(stream, row) for row in rows)


def test_only_going_back_starts_again(stream: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    streams._reader.cache_clear()
    starts = []
    skip = IterableDataset.skip
    monkeypatch.setattr(IterableDataset, "skip", lambda rows, n: starts.append(n) or skip(rows, n))
    assert all(is_right(stream, row) for row in (3, 4, 6, 9))  # the test split comes first
    assert starts == []
    assert is_right(stream, 5)
    assert starts == [2]


def test_a_far_row_is_found_by_a_new_start(
    stream: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "NEAR", 2)
    assert all(is_right(stream, row) for row in (3, 9, 4))


@pytest.mark.slow
def test_keys_of_files_that_have_changed_differ(folder: Path, tmp_path: Path) -> None:
    again = write_parquet(tmp_path / "again")
    first, second = (load_data(f"hf:{where}?streaming=1") for where in (folder, again))
    assert len(set(first.image_keys)) == NUM_TRAIN + NUM_TEST
    assert set(first.image_keys).isdisjoint(second.image_keys)
    assert first.fingerprint() == load_data(f"hf:{folder}?streaming=1").fingerprint()
    (again / "train-00000-of-00002.parquet").touch()
    changed = load_data(f"hf:{again}?streaming=1")
    assert origin(changed) not in (origin(first), origin(second))


# What is computed from it


def how(folder: Path, **changes: object) -> Extraction:
    return Extraction(folder, **({"store": "disk", "batch_size": 2, "num_workers": 2} | changes))  # type: ignore[arg-type]


def run(data: ImageData, how: Extraction):
    backbone = load_backbone("timm:test_vit?image_size=32", random_init=True)
    rows = np.arange(len(data.table))
    return extract(backbone, data, rows, how=how, accelerator=Accelerator(cpu=True))


@pytest.mark.slow
def test_features_are_those_of_the_files(folder: Path, stream: ImageData, tmp_path: Path) -> None:
    result = [run(data, how(tmp_path / name)).source for name, data in
             (("a", stream), ("b", load_data(f"hf:{folder}")))]  # fmt: skip
    every = [np.arange(NUM_TRAIN + NUM_TEST)]
    first, second = (next(iter(source.iterate(every)))[6].patches for source in result)
    assert first is not None
    assert first.equal(second)


def test_images_are_not_read_twice_to_check_them(stream: ImageData) -> None:
    assert check_images(stream, np.arange(10)).empty


@pytest.mark.slow
def test_a_broken_image_is_named_when_it_is_reached(tmp_path: Path) -> None:
    data = load_data(f"hf:{write_parquet(tmp_path / 'x', broken=5)}?streaming=1")
    with pytest.raises(InputError, match=r"bad image hf-stream://.*split=train.*#5: not an image"):
        run(data, how(tmp_path))


def test_crops_of_a_stream_are_refused(stream: ImageData, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"streaming=1 is streamed, .* leave out --augment crops"):
        run(stream, how(tmp_path, random_crops=True))


def test_a_stream_must_be_kept(stream: ImageData, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tokens must be kept \(requested\); choose --store disk"):
        run(stream, how(tmp_path, store="online"))
