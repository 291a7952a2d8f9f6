"""The folder of files that a version has written, and what they say: written once, read for good.

    cd tests && python -m formats.kept VERSION

writes `tests/formats/VERSION/`: synthetic lesions, and of them a token store, a probe's run with
its heads, a pre-training's run with its encoder and schema, a study, and `values.json`, which holds
what the product's readers say of them. Encoder and heads are the smallest that there are. Paths of
the machine that wrote are replaced by `/elsewhere`.
"""

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from typer.testing import CliRunner

from helpers.similar_lesions import write_lesions

HERE = Path(__file__).parent
VALUES = "values.json"
ELSEWHERE = "/elsewhere"
TEXTS = {".json", ".jsonl", ".yaml", ".csv", ".txt", ".md", ".log", ".html"}
TINY = {  # a ViT of 2,000 weights
    "architecture": "vit_tiny_patch16_224",
    "num_classes": 0,
    "model_args": {"img_size": 16, "patch_size": 8, "embed_dim": 8, "depth": 1, "num_heads": 1},
    "pretrained_cfg": {"input_size": [3, 16, 16], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5],
                       "num_classes": 0, "interpolation": "bicubic", "crop_pct": 1.0,
                       "first_conv": "patch_embed.proj", "classifier": "head"},
}  # fmt: skip
STUDY = """\
name: kept
question: Can a study of before be read?
steps:
  judge:
    command: probe
    grid:
      strength:
        few: {c: 0.1}
        many: {c: 10}
    options: {data: "csv:table.csv", backbone: "encoder", method: linear, report: false}
table:
  rows: [strength]
  metrics: {balanced_accuracy: balanced accuracy}
"""
DATA = ["--data", "csv:table.csv"]


def write(folder: Path) -> None:
    """Write the files and what they say."""
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as there, _offline(Path(there)):
        _write_in(Path(there))
        shutil.copytree(there, folder, dirs_exist_ok=True)
        names = {there, str(Path(there).resolve())}
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        if path.suffix in TEXTS or not path.suffix:
            text = path.read_text(encoding="utf-8")
            for name in sorted(names, key=len, reverse=True):
                text = text.replace(name, ELSEWHERE)
            path.write_text(_without_machine(text), encoding="utf-8")
    for manifest in folder.rglob("manifest.json"):
        _sum_anew(manifest)
    values = json.dumps(read(folder), indent=1)
    (folder / VALUES).write_text(values + "\n", encoding="utf-8")


def read(folder: Path) -> dict[str, Any]:
    """Return what the product's readers say of such a folder, as JSON has it."""
    with tempfile.TemporaryDirectory() as there:
        shutil.copytree(folder, Path(there) / "kept")  # readers may lock what they read
        with _offline(Path(there) / "kept"):
            values = {
                "store": _read_store(),
                "encoder": _read_encoder(),
                "schema": _read_schema(),
                "run": _read_json("report", "probe", "--format", "json"),
                "pre-training": _read_held_out(),
                "predictions": _read_json(
                    "predict", "--from", "probe", *DATA, "--split", "test", "--json"
                ),
                "study": _read_json("study", "table", "runs/kept", "--format", "json"),
            }
    text = json.dumps(values).replace(there, ELSEWHERE)
    kept: dict[str, Any] = json.loads(text)
    return kept


def toolkit(*words: str) -> str:
    """Run a command here; returns what it prints for others to read."""
    from toolkit_common.cli.app import app

    result = CliRunner().invoke(app, list(words), prog_name="toolkit")
    assert result.exit_code == 0, (words, result.output)
    return result.stdout


def _read_held_out() -> Any:
    from toolkit_common.runs.files import read_json

    return read_json(Path("pretrain/results.json"))["held_out"]


def _read_json(*words: str) -> Any:
    return json.loads(toolkit(*words))


def _write_in(there: Path) -> None:
    write_lesions(there, patients=10)
    (there / "tiny").mkdir()
    (there / "tiny/config.json").write_text(json.dumps(TINY), encoding="utf-8")
    toolkit("pretrain", "slimp", *DATA, "--backbone", "timm:local-dir:tiny", "--random-init",
            "--epochs", "1", "--metadata-dim", "4", "--metadata-heads", "1", "--metadata-depth",
            "1", "--embed-dim", "4", "--patients-per-batch", "3", "--allow-leaks", "answer",
            "--no-report", "--output", "pretrain")  # fmt: skip
    shutil.copytree(there / "pretrain/encoder", there / "encoder")
    toolkit("probe", *DATA, "--backbone", "encoder", "--method", "ep,linear,knn", "--lr", "0.003",
            "--epochs", "1", "--set", "ep.num_queries=2", "--store-dir", "stores", "--no-report",
            "--output", "probe")  # fmt: skip
    (there / "kept.yaml").write_text(STUDY, encoding="utf-8")
    toolkit("study", "run", "kept.yaml")
    shutil.rmtree(there / "cache", ignore_errors=True)
    for path in [*there.rglob(".in-use"), *there.rglob(".lock"), there / "secret"]:
        path.unlink(missing_ok=True)


@contextmanager
def _offline(folder: Path) -> Iterator[None]:
    """Work in a folder, with a cache and a secret of its own."""
    before = dict(os.environ)
    os.environ["TOOLKIT_CACHE"] = str(folder / "cache")
    os.environ["TOOLKIT_SITE_SECRET"] = str(folder / "secret")
    try:
        with chdir(folder):
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _read_store() -> dict[str, Any]:
    from toolkit_common.features.store import TokenStore

    store = TokenStore(next(Path("stores").glob("*/index.json")).parent)
    kept = store.read(np.arange(len(store)))
    return {
        "rows": len(store),
        "vectors": {
            f"{layer} {name}": _rounded(vector.double().sum(1))
            for layer, item in kept.items()
            for name, vector in item.vectors.items()
        },
        "patches": [_rounded(item.patches.double().sum((1, 2))) for item in kept.values()
                    if item.patches is not None],
    }  # fmt: skip


def _read_encoder() -> list[float]:
    from toolkit_common.backbones.load import load_backbone

    images = torch.linspace(-1, 1, 2 * 3 * 16 * 16).view(2, 3, 16, 16)
    return _rounded(load_backbone("encoder")(images).patches.double().flatten())


def _read_schema() -> Any:
    from toolkit_slimp.metadata.schema_file import read_schema_file

    return json.loads(read_schema_file(Path("pretrain/schema.json")).to_json())


def _rounded(values: torch.Tensor) -> list[float]:
    return [round(value, 5) for value in values.tolist()]


def _without_machine(text: str) -> str:
    """Return a text without what tells of the machine that wrote it."""
    text = re.sub(r'"(cpu|platform)": "[^"]*"', r'"\1": "some"', text)
    return re.sub(r'"command": \[[^\]]*\]', '"command": ["toolkit"]', text)


def _sum_anew(manifest: Path) -> None:
    listed = json.loads(manifest.read_text(encoding="utf-8"))
    for name in listed:
        content = (manifest.parent / name).read_bytes()
        listed[name] = hashlib.sha256(content).hexdigest()
    manifest.write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(HERE / sys.argv[1])
