"""`toolkit probe --list`: every method, where it comes from, what it reads, what it costs."""

from typing import Any

import torch
from rich.table import Table

from toolkit_common.backbones.contract import BackboneInfo
from toolkit_common.backbones.load import load_backbone
from toolkit_common.config import Invocation
from toolkit_common.console import result_console
from toolkit_common.errors import InputError
from toolkit_probing.heads.cost import forward_flops
from toolkit_probing.heads.head import Head, build_pool
from toolkit_probing.heads.specs import pool_options, sources_of
from toolkit_probing.probes import POOLS
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.encoder import STAND_IN

NUM_CLASSES = 1000  # as the papers count

UNPOOLED = {
    "linear": "Linear probing of what the card names (He et al., 2022)",
    "cls": "Linear probing of the class token (He et al., 2022)",
    "mean": "Linear probing of the mean of the patches (He et al., 2022)",
    "knn": "Weighted nearest neighbours (Wu et al., 2018)",
    "logreg": "Logistic regression, C picked on validation (scikit-learn)",
}


def list_methods(invocation: Invocation[ProbeSettings]) -> dict[str, Any]:
    """Print the table and return its rows.

    The encoder is built with random weights: only its shapes are needed.

    Raises:
        InputError: If the backbone is at fault.
    """
    # Of images: what metadata add depends on an export, and their size on its encoders.
    settings = invocation.settings.model_copy(update={"inputs": "image"})
    identifier = settings.backbone or STAND_IN
    info = load_backbone(identifier, random_init=True, allow_partial=True).info
    rows = [_row(method, settings, info) for method in (*POOLS, *UNPOOLED)]
    facts = info.facts
    table = Table(title=f"{identifier}: width {facts.embed_dim}, grid {facts.grid}")
    for heading in ("method", "source", "reads"):
        table.add_column(heading, overflow="fold")
    for heading in ("parameters", f"with {NUM_CLASSES} classes", "GFLOPs an image"):
        table.add_column(heading, justify="right")
    for row in rows:
        cells = [_cell(row[key]) for key in ("parameters", "parameters_with_classifier")]
        gflops = "" if row["gflops"] is None else f"{row['gflops']:.4f}"
        table.add_row(row["method"], row["source"], ", ".join(row["reads"]), *cells, gflops)
    result_console(as_json=invocation.as_json).print(table)
    return {"backbone": identifier, "num_classes": NUM_CLASSES, "methods": rows}


def _row(method: str, settings: ProbeSettings, info: BackboneInfo) -> dict[str, Any]:
    row: dict[str, Any] = {"method": method, "parameters": None, "gflops": None}
    row["source"] = UNPOOLED.get(method) or POOLS[method].title
    row |= {"reads": sources_of(method, settings, info), "parameters_with_classifier": None}
    if method in ("knn", "logreg"):
        return row
    dim, (height, width) = info.facts.embed_dim, info.facts.grid
    if method in UNPOOLED:
        return row | _cost(Head(None, dim=dim, num_classes=NUM_CLASSES), torch.zeros(1, dim))
    try:
        pool = build_pool(
            method, dim, grid=info.facts.grid, options=pool_options(method, settings)[0]
        )
    except InputError as error:
        return row | {"source": f"{row['source']}: not at this width ({error})"}
    count = height * width + ("all" in row["reads"])
    head = Head(pool, dim=pool.out_dim, num_classes=NUM_CLASSES)
    return row | _cost(head, torch.zeros(1, count, dim))


def _cost(head: Head, inputs: torch.Tensor) -> dict[str, Any]:
    total = sum(item.numel() for item in head.parameters())
    classifier = sum(item.numel() for item in head.classifier.parameters())
    return {
        "parameters": total - classifier,
        "parameters_with_classifier": total,
        "gflops": forward_flops(head, inputs) / 1e9,
    }


def _cell(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
