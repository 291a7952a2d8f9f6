"""A small fixed run of everything that computes: do a change's figures stay, to the bit?

    python benchmarks/fixed_run.py before.json     # on the commit before
    python benchmarks/fixed_run.py after.json --against before.json

Probes (every method, tuning, shots, layers, metadata), pre-trains (SLIMP and its ablations) and
fits the estimator, each tiny, at seed 0 on one process, and writes the sha256 of what they
computed: weights of heads and encoders, predictions, logged losses. Kept until the rooms have
moved.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from safetensors.torch import load_file
from torch import Tensor
from typer.testing import CliRunner

ENCODER = "--backbone timm:test_vit?image_size=64 --random-init "
PRETRAIN = f"pretrain slimp --data lesions {ENCODER}"
PROBE = "probe --data lesions --batch-size 64 --epochs 2 "
RUNS = {
    "slimp": f"{PRETRAIN} --epochs 2",
    "slimp-flat-ft": f"{PRETRAIN} --epochs 1 --ablation flat --set metadata_blocks=ft",
    "slimp-image-term": f"{PRETRAIN} --epochs 1 --ablation image-term --ema 0.99 --watch-every 3",
    "probe-all": f"{PROBE} {ENCODER} --method all --num-seeds 2 --queries 8,16",
    "probe-shots": f"{PROBE} {ENCODER} --method ep,linear,knn,logreg --shots 2 --draws 2",
    "probe-layers": f"{PROBE} {ENCODER} --method ep,linear,knn --layers 2,4 --read cls,raw",
    "probe-crops": f"{PROBE} {ENCODER} --method ep --augment crops --store-dtype int8",
    "probe-lora": f"{PROBE} {ENCODER} --method ep --tune lora --lr 0.01",
    "probe-meta": f"{PROBE} --backbone slimp --inputs image+meta --method ep,linear,knn",
    "probe-lesion": f"{PROBE} --backbone slimp --inputs lesion --method linear,knn,logreg",
    "probe-paper": f"probe --data digits --protocol ep-paper --epochs 2 {ENCODER} -m ep,linear",
}


def main() -> None:
    """Run everything, write the digests, and compare them with earlier ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--against", type=Path)
    given = parser.parse_args()
    digests: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, command in RUNS.items():
            toolkit(
                command.replace("--backbone slimp ", f"--backbone {root / 'slimp'} "), root / name
            )
            digests |= {f"{name}/{key}": value for key, value in digests_of(root / name)}
    digests |= dict(estimators())
    given.output.write_text(json.dumps(digests, indent=1, sort_keys=True) + "\n")
    print(f"{len(digests)} digests in {given.output}")
    if given.against:
        before = json.loads(given.against.read_text())
        moved = [
            key for key in before.keys() | digests.keys() if before.get(key) != digests.get(key)
        ]
        print("\n".join(sorted(moved)) or "no figure has moved")
        sys.exit(bool(moved))


def toolkit(command: str, output: Path) -> None:
    """Run one command in this process."""
    from toolkit_common.cli.app import app

    words = [*command.split(), "--output", str(output)]
    if words[0] == "probe":
        words += ["--store-dir", str(output.parent / "store")]
    done = CliRunner().invoke(app, words, prog_name="toolkit")
    if done.exit_code:
        raise SystemExit(f"toolkit {command}: {done.output}") from done.exception


def digests_of(run: Path) -> Iterator[tuple[str, str]]:
    """Yield a digest of every tensor file, prediction, logged line and result of a run."""
    for path in sorted(run.rglob("*.safetensors")):
        if "checkpoints" not in path.parts:
            yield str(path.relative_to(run)), of_tensors(load_file(path))
    for path in sorted(run.rglob("*.parquet")):
        table = pq.read_table(path).to_pydict()
        yield str(path.relative_to(run)), of_text(json.dumps(table, default=str))
    for number, line in enumerate((run / "metrics.jsonl").read_text().splitlines()):
        figures = {key: value for key, value in json.loads(line).items() if not timed(key)}
        yield f"metrics.jsonl:{number}", of_text(json.dumps(figures, sort_keys=True))
    results = json.loads((run / "results.json").read_text())
    for row in results.get("rows", ()):
        for key in ("metrics", "settings", "select_score", "num_parameters", "flops", "training"):
            yield f"results:{row['name']}.{key}", of_text(json.dumps(row.get(key), sort_keys=True))


def timed(key: str) -> bool:
    """Tell whether a logged value is about the machine."""
    return any(word in key for word in ("second", "time", "wait", "memory", "per_s"))


def estimators() -> Iterator[tuple[str, str]]:
    """Yield digests of what the estimator predicts."""
    from toolkit_probing.estimator import ProbeClassifier

    rng = np.random.default_rng(0)
    tokens, labels = rng.normal(size=(96, 16, 32)).astype(np.float32), np.arange(96) % 3
    for method in ("ep", "siglip", "clip", "linear", "jepa"):
        probe = ProbeClassifier(method, epochs=4).fit(tokens, labels)
        values = probe.predict_proba(tokens).astype(np.float32)
        yield f"estimator/{method}", hashlib.sha256(values.tobytes()).hexdigest()


def of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return a digest of tensors by name, whatever stands beside them in the file."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def of_text(text: str) -> str:
    """Return a digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    main()
