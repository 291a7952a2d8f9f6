"""What is loaded for several folds at once."""

import numpy as np
import pytest

from toolkit_probing import loaded
from toolkit_probing.methods.choose import with_all_methods
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task import task as tasks


@pytest.mark.slow
def test_folds_share_data_encoder_and_one_look_at_the_images(monkeypatch, image_folder):
    (image_folder / "dark/003.png").write_bytes(b"no picture")
    looks, loads = [], []
    check, build = tasks.check_images, loaded.load_probed_backbone
    monkeypatch.setattr(tasks, "check_images", lambda *a, **k: looks.append(1) or check(*a, **k))
    monkeypatch.setattr(loaded, "load_probed_backbone", lambda *a: loads.append(1) or build(*a))
    parts = [
        with_all_methods(
            ProbeSettings(
                data=f"imagefolder:{image_folder}", backbone="timm:test_vit?image_size=32",
                random_init=True, method=("knn",), folds=3, fold=fold, bad_files="skip",
            )
        )
        for fold in range(3)
    ]  # fmt: skip
    items = loaded.load(parts)
    assert (len(looks), len(loads)) == (1, 1)
    assert all(item.backbone is items[0].backbone for item in items)
    assert all(item.task.data is items[0].task.data for item in items)
    tested = np.sort(np.concatenate([item.task.splits.test for item in items]))
    assert tested.tolist() == [row for row in range(24) if row != 3]
    assert all(len(item.task.bad_files) == 1 for item in items)
