"""A small data set of patients and a tiny pre-training on it, as a command."""

import numpy as np
import pytest
from PIL import Image

from helpers.slimp_run import TINY


@pytest.fixture
def patients(tmp_path) -> str:
    """24 patients with 1 to 3 lesions whose brightness is in their metadata.

    The label is noisier than a column may be that pre-training reads.
    """
    rng, noise = np.random.default_rng(0), np.random.default_rng(1)
    lines = ["image,label,group,brightness,age"]
    (tmp_path / "pictures").mkdir()
    for patient in range(24):
        for lesion in range(1 + patient % 3):
            level = rng.uniform(20, 230)
            name = f"pictures/{patient}-{lesion}.png"
            pixels = rng.normal(level, 10, (32, 32, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / name)
            label = "dark" if level + noise.normal(0, 50) < 125 else "light"
            lines.append(f"{name},{label},p{patient},{level:.1f},{20 + patient}")
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    return f"csv:{tmp_path / 'table.csv'}"


@pytest.fixture
def pretrain(run_cli, patients, tmp_path):
    def run(*args, output=tmp_path / "run"):
        return run_cli("pretrain", "slimp", *TINY, "--data", patients, "--output", output, *args)

    return run
