"""Lesions whose brightness tells some of their metadata: what extrapolation can and cannot find."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.slimp_run import pretrain

HEADER = "image,label,group,split,shade,level,luck,answer,age"
SPLITS = ("train", "train", "val", "val", "test")
SHADES = ("dark", "light", "mid")


def write_lesions(
    root: Path, *, name: str = "table", prefix: str = "p", patients: int = 75, seed: int = 0
) -> str:
    """Write lesions, two a patient; returns the data set's id.

    `shade`, `level` and `age` (the patient's) follow the picture, `luck` does not, `answer` gives
    the label away. A lesion of label `b` lacks most metadata: that they are missing tells it.
    """
    draws, lines = np.random.default_rng(seed), [HEADER]
    (root / name).mkdir(parents=True)
    for patient in range(patients):
        base = int(draws.integers(0, 3))
        for lesion in range(2):
            shade = (base + lesion) % 3 if patient % 3 else base
            brightness = (40, 215, 128)[shade] + draws.normal(0, 8)
            pixels = draws.normal(brightness, 6, (16, 16, 3)).clip(0, 255).astype(np.uint8)
            file = f"{name}/{prefix}{patient}-{lesion}.png"
            Image.fromarray(pixels).save(root / file)
            label = "ab"[int(draws.integers(0, 2))]
            luck = ("x", "y")[int(draws.integers(0, 2))]
            told = [SHADES[shade], f"{brightness:.1f}", luck]
            if label == "b" and draws.random() < 0.6:
                told = ["", "", ""]
            age = 20 + 20 * base
            split = SPLITS[patient % 5]
            answer = label if draws.random() < 0.95 else "a"
            lines.append(
                ",".join([file, label, f"{prefix}{patient}", split, *told, answer, str(age)])
            )
    path = root / f"{name}.csv"
    path.write_text("\n".join(lines) + "\n")
    return f"csv:{path}"


def pretrain_on(data: str, output: Path, *options: str) -> Path:
    """Train a tiny model on such lesions, with the bank and the leak accepted."""
    return pretrain(data, output, "--bank", *options, allow_leaks="answer")


def shuffle_columns(data: str, output: Path, names: Iterable[str], *, seed: int = 3) -> str:
    """Write the table anew with some columns shuffled, each on its own; returns its id."""
    lines = Path(data.removeprefix("csv:")).read_text().splitlines()
    header, rows = lines[0].split(","), [line.split(",") for line in lines[1:]]
    draws = np.random.default_rng(seed)
    for name in names:
        at = header.index(name)
        values = [row[at] for row in rows]
        for row, place in zip(rows, draws.permutation(len(rows)), strict=True):
            row[at] = values[place]
    output.write_text("\n".join([lines[0], *(",".join(row) for row in rows)]) + "\n")
    return f"csv:{output}"


def swap_splits(data: str, output: Path) -> str:
    """Write the table anew, train and val each in the other's place; returns its id."""
    text = Path(data.removeprefix("csv:")).read_text().replace(",val,", ",other,")
    output.write_text(text.replace(",train,", ",val,").replace(",other,", ",train,"))
    return f"csv:{output}"
