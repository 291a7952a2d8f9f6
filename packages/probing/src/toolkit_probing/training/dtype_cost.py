"""What a coarser token store costs in accuracy: heads on exact tokens beside stored ones."""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file

from toolkit_common.console import console
from toolkit_common.data.dataset import ImageData
from toolkit_common.features.contract import FeatureSource
from toolkit_common.features.encode import Extraction, OnlineSource, RowEncoder
from toolkit_probing.heads.bank import SAMPLE, HeadBank, sample_of
from toolkit_probing.heads.files import read_spec
from toolkit_probing.task.context import Context
from toolkit_probing.training.scoring import predict, read_classes

SHARE, MOST = 0.05, 256  # of the images that are encoded again, so that it costs little


def measure_dtype_cost(context: Context, data: ImageData, how: Extraction) -> dict[str, Any] | None:
    """Return what int8 tokens change of the heads' answers, or None where nothing was coarsened.

    Some test images, evenly spread, are encoded again and read exactly.

    Args:
        context: The run, its heads trained.
        data: The images as they were extracted.
        how: How.

    Returns:
        `num_images`, and for each head `changed` (share of predictions that differ), `top1` on
        stored and `top1_exact` on exact tokens.
    """
    task, features, accelerator = context.task, context.features, context.accelerator
    is_kept = bool(features.key)  # images of an encoder that is tuned have none
    is_coarse = how.dtype == "int8" and is_kept and how.with_patches
    folder = context.run.path / "heads"
    # A stream does not go back to images that it has given.
    names = _attentive_heads(folder) if is_coarse and not data.is_streamed else []
    if not names:
        return None
    test = task.positions("test")
    count = min(len(test), MOST, max(SAMPLE, round(SHARE * len(task.rows))))
    some = test[np.linspace(0, len(test) - 1, count).astype(int)]
    # Without a dtype: exact, as the encoder gives them.
    online = OnlineSource(RowEncoder(context.backbone, data, how, accelerator), task.rows)
    bank = _read_bank(names, features.source, num_classes=len(task.labels.classes))
    bank.to(accelerator.device)
    stored, exact = (
        predict(bank, source, some, compute=accelerator, read=read_classes)
        for source in (features.source, online)
    )
    targets = task.targets[some]
    heads = {
        key: {
            "changed": float(np.mean(stored[key] != exact[key])),
            "top1": float(np.mean(stored[key] == targets)),
            "top1_exact": float(np.mean(exact[key] == targets)),
        }
        for key in bank.specs
    }
    worst = max(heads.values(), key=lambda item: item["changed"])
    console.print(
        f"features: on {count} test images int8 changes at most {worst['changed']:.1%} of a head's "
        f"predictions, and its top-1 from {worst['top1_exact']:.3f} to {worst['top1']:.3f}"
    )
    return {"num_images": count, "heads": heads}


def _attentive_heads(folder: Path) -> list[Path]:
    """Heads that read tokens; of several draws of the labels none, they share a spec."""
    specs = {path: read_spec(path) for path in sorted(folder.glob("*.safetensors"))}
    return [
        path
        for path, spec in specs.items()
        if path.stem == spec.key and spec.source in ("patches", "all")
    ]


def _read_bank(paths: list[Path], source: FeatureSource, *, num_classes: int) -> HeadBank:
    sample = sample_of(source)
    bank = HeadBank([read_spec(path) for path in paths], sample, num_classes=num_classes)
    for path in paths:
        bank.heads[path.stem].load_state_dict(load_file(path))  # named by its spec
    return bank
