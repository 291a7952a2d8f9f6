"""Masks: which file is of which image, and how much of each patch lies inside."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toolkit_common.images.transforms import Preprocess
from toolkit_probing.attention.masks import choose_masks, find_masks, read_mask

WHOLE = Preprocess(image_size=(40, 40), crop_pct=1.0)


def write(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)
    return path


def place(path: Path) -> dict[str, object]:
    return {"bytes": None, "path": str(path)}


def test_masks_are_found_as_sets_call_them(tmp_path):
    blank = np.zeros((4, 4))
    for name in ("a.png", "b_mask.png", "deep/C_Segmentation.png",
                 "IMD1/IMD1_lesion/IMD1_lesion.bmp",
                 "IMD1/IMD1_Dermoscopic_Image/IMD1_Dermoscopic_Image.bmp",
                 "IMD2/IMD2_lesion/IMD2_lesion.bmp",
                 "IMD2/IMD2_Dermoscopic_Image/IMD2.bmp"):  # fmt: skip
        write(tmp_path / name, blank)
    masks = find_masks(tmp_path)
    assert sorted(masks) == ["C", "IMD1", "IMD2", "a", "b"]
    assert [masks[name].name for name in ("IMD1", "IMD2")] == ["IMD1_lesion.bmp", "IMD2_lesion.bmp"]
    chosen = choose_masks(masks, ["x/b.jpg", "a.b", "C", "none.png"])
    assert [file and file.name for file in chosen] == [
        "b_mask.png",
        None,
        "C_Segmentation.png",
        None,
    ]


def test_masks_that_name_nothing_or_two_things_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no folder of masks at .*gone"):
        find_masks(tmp_path / "gone")
    with pytest.raises(ValueError, match="no mask at "):
        find_masks(tmp_path)
    write(tmp_path / "a.png", np.zeros((4, 4)))
    masks = find_masks(tmp_path)
    with pytest.raises(ValueError, match="none of 1 masks is of an image: they are called as a"):
        choose_masks(masks, ["b.png"])
    with pytest.raises(ValueError, match="several images are called a"):
        choose_masks(masks, ["one/a.png", "two/a.png"])
    write(tmp_path / "a_mask.png", np.zeros((4, 4)))
    assert find_masks(tmp_path) == {"a": tmp_path / "a_mask.png"}  # the other is the image
    write(tmp_path / "deep/a_lesion.png", np.zeros((4, 4)))
    with pytest.raises(ValueError, match="two masks are called a"):
        find_masks(tmp_path)


@pytest.mark.parametrize("white", [1, 255])
def test_patches_have_the_share_of_them_that_is_inside(tmp_path, white: int):
    values = np.zeros((80, 80))
    values[:40, :60] = white  # the upper half, three quarters of its width
    mask, image = write(tmp_path / "m.png", values), write(tmp_path / "i.png", values)
    shares = read_mask(mask, place(image), preprocess=WHOLE, grid=(2, 2))
    np.testing.assert_allclose(shares, [[1, 0.5], [0, 0]], atol=0.03)
    wide = read_mask(mask, place(image), preprocess=WHOLE, grid=(1, 4))
    np.testing.assert_allclose(wide, [[0.5, 0.5, 0.5, 0]], atol=0.03)


def test_a_mask_is_cut_as_the_encoder_cuts_its_image(tmp_path):
    values = np.zeros((80, 160))
    values[:, :40] = 255  # what the centre crop of a wide image leaves out
    mask, image = write(tmp_path / "m.png", values), write(tmp_path / "i.png", values)
    shares = read_mask(mask, place(image), preprocess=WHOLE, grid=(2, 2))
    assert shares.max() == 0
    small = write(tmp_path / "small.png", values[::2, ::2])  # of the same aspect
    assert read_mask(small, place(image), preprocess=WHOLE, grid=(2, 2)).max() == 0


def test_what_is_no_mask_of_the_image_is_refused(tmp_path):
    image = write(tmp_path / "i.png", np.zeros((40, 60)))
    turned = write(tmp_path / "t.png", np.zeros((60, 40)))
    with pytest.raises(ValueError, match=r"t.png has 40 x 60 pixels, its image 60 x 40"):
        read_mask(turned, place(image), preprocess=WHOLE, grid=(2, 2))
    grey = write(tmp_path / "g.png", np.linspace(0, 255, 2400).reshape(40, 60))
    with pytest.raises(ValueError, match=r"g.png is no mask: it has more values than one"):
        read_mask(grey, place(image), preprocess=WHOLE, grid=(2, 2))
    (tmp_path / "bad.png").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"cannot read a mask: .*bad\.png"):
        read_mask(tmp_path / "bad.png", place(image), preprocess=WHOLE, grid=(2, 2))
