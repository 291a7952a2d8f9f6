"""Files of heads and the rows that they are of."""

from pathlib import Path

import torch

from toolkit_probing.heads.files import save_head
from toolkit_probing.heads.head import HeadSpec
from toolkit_probing.heads.kept import heads_of_rows, repeat_of
from toolkit_probing.settings import ProbeSettings


def write(run: Path, spec: HeadSpec, behind: str = "") -> Path:
    path = run / "heads" / f"{spec.key}{behind}.safetensors"
    path.parent.mkdir(exist_ok=True)
    save_head(path, spec, {"x": torch.zeros(1)})
    return path


def test_a_row_has_a_file_for_each_seed_and_draw_of_its_labels(tmp_path):
    specs = [HeadSpec("ep", 6, "patches", 0.01, seed, {"num_queries": 4}) for seed in (0, 1)]
    name = specs[0].variant
    whole = [write(tmp_path, spec) for spec in specs]
    few = [write(tmp_path, spec, f"-5shot-draw{draw}") for draw in (0, 1) for spec in specs]
    other = write(tmp_path, HeadSpec("linear", 6, "mean", None, 0))
    names = [name, f"{name}-5shot", "linear-layer6-mean", "knn-layer6-mean"]
    heads = heads_of_rows(tmp_path, {item: item for item in names}, ProbeSettings())
    assert heads == {name: whole, f"{name}-5shot": few, "linear-layer6-mean": [other]}
    assert [repeat_of(file) for file in few] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert repeat_of(whole[1]) == (1, 0)
