"""Features as arrays: those that a probe reads, in one order with what is known of each image."""

import numpy as np
import pytest
import torch

from helpers.small_data import build_data, image_bytes
from toolkit_common.backbones.contract import Backbone
from toolkit_common.backbones.load import load_backbone
from toolkit_common.data.dataset import ImageData
from toolkit_common.errors import InputError
from toolkit_common.features import arrays
from toolkit_common.features.arrays import extract_arrays
from toolkit_common.images.open import open_image

ROWS = 24


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("timm:test_vit?image_size=64", random_init=True)


@pytest.fixture
def data() -> ImageData:
    """Every patient has two images; the third row has no label."""
    labels = [None if row == 2 else ("b", "a")[row // 2 % 2] for row in range(ROWS)]
    images = [image_bytes(row) for row in range(ROWS)]
    return build_data(labels, groups=[f"p{row // 2}" for row in range(ROWS)], images=images)


def test_every_array_is_about_the_same_image_in_each_row(backbone, data) -> None:
    found = extract_arrays(backbone, data, device="cpu")
    rows = [int(name[1:]) for name in found.names]
    assert rows == [row for row in range(ROWS) if row != 2]
    assert [*found.labels] == [data.table["label"][row] for row in rows]
    assert [*found.groups] == [f"p{row // 2}" for row in rows]
    images = [open_image(data.images[row]["image"]) for row in rows]
    tokens = backbone.tokens(images)
    assert found.tokens.dtype == np.float32
    np.testing.assert_allclose(found.tokens, tokens.patches, atol=4e-3)  # kept in fp16
    np.testing.assert_allclose(found.vectors["cls"], tokens.prefix[:, 0], atol=1e-5)
    np.testing.assert_allclose(found.vectors["mean"], tokens.patches.mean(1), atol=1e-5)
    assert found.read == backbone.info.card.linear
    assert found.vector is found.vectors[found.read]
    assert found.grid == (4, 4)


def test_splits_are_those_of_the_settings(backbone, data) -> None:
    tests = []
    for fold in range(3):
        found = extract_arrays(backbone, data, tokens=False, folds=3, fold=fold)
        assert found.tokens is None
        parts = [found.rows(name) for name in ("train", "val", "test")]
        assert sorted(np.concatenate(parts)) == list(range(ROWS - 1))
        for one, other in ((0, 1), (0, 2), (1, 2)):
            assert not {*found.groups[parts[one]]} & {*found.groups[parts[other]]}
        tests += [*found.names[parts[2]]]
    assert sorted(tests) == sorted(found.names)


def test_a_store_with_patches_gives_vectors_alone_where_those_are_wanted(backbone, data) -> None:
    whole = extract_arrays(backbone, data)
    again = extract_arrays(backbone, data, tokens=False)
    assert again.tokens is None
    np.testing.assert_array_equal(again.vector, whole.vector)


def test_data_without_labels_have_features_and_no_labels(backbone) -> None:
    data = build_data([None] * 6, images=[image_bytes(row) for row in range(6)])
    bare = ImageData(data.id, data.rows.remove_columns("label"), data.sheet)
    found = extract_arrays(backbone, bare)
    assert (found.labels, found.groups) == (None, None)
    assert len(found.tokens) == 6


def test_ids_are_loaded_and_nothing_is_printed(capsys, image_folder) -> None:
    identifier = f"imagefolder:{image_folder}"
    found = extract_arrays(backbone="python:helpers.tiny_encoders:build_map", data=identifier)
    assert (len(found.names), {*found.labels}) == (24, {"dark", "light"})
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")
    extract_arrays("python:helpers.tiny_encoders:build_map", identifier, verbose=True)
    assert "stored ones serve" in capsys.readouterr().err


def test_tokens_that_do_not_fit_memory_are_refused_before_anything_runs(
    backbone, data, monkeypatch
) -> None:
    monkeypatch.setattr(arrays, "available_memory", lambda: 1000)
    message = "tokens of 23 images are 91 KiB|tokens of 23 images are .* KiB and 0.977 KiB"
    with pytest.raises(InputError, match=message):
        extract_arrays(backbone, data)
    assert extract_arrays(backbone, data, tokens=False).tokens is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "grade"}, "has no label 'grade'"),
        ({"folds": 2}, r"folds must be 3 or more .* got 2"),
        ({"fold_": 2}, r"extract\(\): unknown setting fold_; did you mean 'fold'"),
        ({"backbone": "timm:none_such"}, "none_such"),
    ],
)
def test_bad_input_is_named(backbone, data, change, message: str) -> None:
    with pytest.raises(InputError, match=message):
        extract_arrays(**{"backbone": backbone, "data": data} | change)


def test_a_split_that_there_is_not_is_named(backbone, data) -> None:
    found = extract_arrays(backbone, data, tokens=False)
    with pytest.raises(InputError, match="one of train, val, test, got 'valid'"):
        found.rows("valid")
    assert torch.is_grad_enabled()
