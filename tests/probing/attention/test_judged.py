"""The test images of a finished run, opened again."""

import numpy as np
import pytest
import torch

from toolkit_probing.attention.judged import open_judged
from toolkit_probing.results.saved import read_run


@pytest.mark.slow
def test_tokens_come_from_the_store_and_else_from_the_encoder(mapped, monkeypatch):
    (file,) = (mapped / "heads").glob("ep-*")
    at = np.array([3, 0])
    with open_judged(mapped) as judged:
        _, stored = judged.encoded(file)
        assert set(judged.ids) == set(read_run(mapped).test_rows.index)
        (kept,) = judged.features(stored, at).values()
    assert type(stored).__name__ == "TokenStore"
    (mapped.parent / "tokens").rename(mapped.parent / "away")
    try:
        with open_judged(mapped) as judged:
            _, online = judged.encoded(file)
            (again,) = judged.features(online, at).values()
    finally:
        (mapped.parent / "away").rename(mapped.parent / "tokens")
    assert type(online).__name__ == "OnlineSource"
    torch.testing.assert_close(again.patches.float(), kept.patches.float())


@pytest.mark.slow
def test_data_whose_test_images_have_changed_are_refused(mapped, monkeypatch):
    table = mapped.parent / "table.csv"
    before = table.read_text()
    table.write_text("\n".join(before.splitlines()[:-20]) + "\n")
    try:
        with (
            pytest.raises(ValueError, match=r"csv:table.csv.* are not those that .*run judged"),
            open_judged(mapped),
        ):
            pass
    finally:
        table.write_text(before)
