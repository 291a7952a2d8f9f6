"""What a page shows of held-out patients comes back from the run folder as it was."""

import pandas as pd
import pytest
import torch

from helpers.watched_rows import build_watched
from toolkit_common.errors import InputError
from toolkit_slimp.reports.watched import FOLDER, TENSORS, read_watched, write_watched


def test_what_is_kept_is_read_as_it_was(tmp_path):
    assert read_watched(tmp_path) is None
    watched = build_watched(patients=3)
    write_watched(tmp_path, watched)
    again = read_watched(tmp_path)
    assert again.label == "diagnosis"
    pd.testing.assert_frame_equal(again.rows, watched.rows)
    assert set(again.tensors) == set(watched.tensors)
    for name, value in watched.tensors.items():
        assert torch.equal(again.tensors[name], value)


def test_a_level_compares_its_own_rows():
    watched = build_watched(patients=3, each=2)
    assert watched.pairs("lesion").groups.tolist() == [0, 0, 1, 1, 2, 2]
    shuffled = watched.rows.sample(frac=1.0, random_state=0)
    patients = type(watched)(watched.tensors, shuffled, None).pairs("patient")
    assert patients.groups.tolist() == [0, 1, 2]  # in the order of the embeddings
    assert torch.equal(patients.same, torch.eye(3, dtype=torch.bool))
    assert build_watched(lesion=None).pairs("lesion") is None
    assert watched.has("site")
    assert not watched.has("nose")


def test_a_damaged_file_is_named_with_what_to_do(tmp_path):
    write_watched(tmp_path, build_watched(patients=3))
    (tmp_path / FOLDER / TENSORS).write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"held_out is damaged .*remove it, and the images are"):
        read_watched(tmp_path)
