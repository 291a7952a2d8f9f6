"""Who and what a row is: rows of one person share a digest, whatever data set names them."""

import numpy as np

from helpers.small_data import build_data, image_bytes
from toolkit_common.data.dataset import ImageData
from toolkit_common.seen.identities import identities
from toolkit_common.seen.record import Contents

SECRET = b"s" * 32


def digests(data: ImageData) -> list[set[int]]:
    found = identities(Contents(data), np.arange(len(data)), secret=SECRET)
    return [set(item.tolist()) for item in found]


def test_a_patient_a_lesion_and_an_image_are_shared():
    images = [image_bytes(seed) for seed in (0, 1, 2, 0)]
    rows = digests(
        build_data(
            list("abab"), images=images,
            patient_id=["p1", "p1", "p2", None], lesion_id=["l1", "l2", "l3", "l3"],
        )
    )  # fmt: skip
    assert rows[0] & rows[1]
    assert rows[2] & rows[3]  # one lesion
    assert rows[0] & rows[3]  # one image
    assert not rows[1] & rows[2]


def test_a_bare_number_of_a_lesion_counts_beside_no_patient_alone():
    images = [image_bytes(seed) for seed in range(4)]
    within = digests(
        build_data(list("ab"), images=images[:2], patient_id=["p1", "p2"], lesion_id=["1", "1"])
    )
    assert not within[0] & within[1]
    alone = digests(build_data(list("ab"), images=images[2:], lesion_id=["1", "1"]))
    assert alone[0] & alone[1]
    assert not within[0] & alone[0]


def test_what_one_set_calls_a_group_another_may_call_a_patient():
    one = digests(build_data(["a"], images=[image_bytes(0)], groups=["PAT_1"]))
    other = digests(build_data(["a"], images=[image_bytes(1)], patient_id=["PAT_1"]))
    assert one[0] & other[0]


def test_an_archive_image_is_one_under_any_file():
    first, second = (build_data(["a"], images=[image_bytes(seed)]) for seed in (0, 1))
    assert not digests(first)[0] & digests(second)[0]
    named = build_data(["a"], images=[image_bytes(1)])
    rows = named.rows.remove_columns("image_id").add_column("image_id", ["x_ISIC_0000001_y"])
    archived = ImageData("small", rows, named.sheet)
    other = first.rows.remove_columns("image_id").add_column("image_id", ["ISIC_0000001"])
    assert digests(archived)[0] & digests(ImageData("small", other, named.sheet))[0]


def test_an_image_that_cannot_be_read_is_nobodys():
    data = build_data(list("ab"), images=["/not/there.png", "/nor/there.png"])
    assert digests(data) == [set(), set()]
