"""`toolkit probe --list`: every method, where it comes from, what it reads, what it costs."""

from typing import Any

import torch
from rich import box
from rich.table import Table

from toolkit_common.backbones.contract import BackboneInfo
from toolkit_common.backbones.load import load_backbone
from toolkit_common.config import Invocation
from toolkit_common.console import result_console
from toolkit_common.errors import InputError
from toolkit_probing.heads.cost import forward_flops
from toolkit_probing.heads.head import Head, build_pool
from toolkit_probing.methods import METHODS
from toolkit_probing.methods.checks import refuse_bad_options
from toolkit_probing.methods.method import Method
from toolkit_probing.methods.options import Option
from toolkit_probing.methods.specs import sources_of
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.encoder import STAND_IN

NUM_CLASSES = 1000  # as the papers count


def list_methods(invocation: Invocation[ProbeSettings]) -> dict[str, Any]:
    """Print the table and return its rows.

    The encoder is built with random weights: only its shapes are needed.

    Raises:
        InputError: If the backbone or an option is at fault.
    """
    refuse_bad_options(invocation.settings, invocation.resolved.sources)
    # Of images: what metadata add depends on an export, and their size on its encoders.
    settings = invocation.settings.model_copy(update={"inputs": "image"})
    identifier = settings.backbone or STAND_IN
    info = load_backbone(identifier, random_init=True, allow_partial=True).info
    rows = [_row(method, settings, info) for method in METHODS.values()]
    facts = info.facts
    table = Table(
        title=f"{identifier}: width {facts.embed_dim}, grid {facts.grid}",
        caption="set an option with --set METHOD.OPTION=VALUE[,VALUE...]",
        box=box.SIMPLE_HEAD,
    )
    for heading in ("method", "what it is, and its options", "reads"):
        table.add_column(heading, overflow="fold")
    for heading in ("parameters", "GFLOPs"):
        table.add_column(heading, justify="right", no_wrap=True)
    for method, row in zip(METHODS.values(), rows, strict=True):
        lines = [row["source"], *(f"  {_option_line(item)}" for item in method.options.values())]
        gflops = "" if row["gflops"] is None else f"{row['gflops']:.4f}"
        cells = (", ".join(row["reads"]), _cell(row["parameters"]), gflops)
        table.add_row(method.name, "\n".join(lines), *cells)
    result_console(as_json=invocation.as_json).print(table)
    return {"backbone": identifier, "num_classes": NUM_CLASSES, "methods": rows}


def _row(method: Method, settings: ProbeSettings, info: BackboneInfo) -> dict[str, Any]:
    row: dict[str, Any] = {
        "method": method.name,
        "source": f"{method.title} ({method.source})",
        "reads": sources_of(method, settings, info),
        "options": {name: item.default for name, item in method.options.items()},
        "parameters": None,
        "parameters_with_classifier": None,
        "gflops": None,
    }
    if not method.is_trained:
        return row
    dim, (height, width) = info.facts.embed_dim, info.facts.grid
    if not method.reads_tokens:
        return row | _cost(Head(None, dim=dim, num_classes=NUM_CLASSES), torch.zeros(1, dim))
    try:
        options = method.variants(settings)[0]
        pool = build_pool(method.name, dim, grid=info.facts.grid, options=options)
    except InputError as error:
        return row | {"source": f"{row['source']}: not at this width ({error})"}
    count = height * width + ("all" in row["reads"])
    head = Head(pool, dim=pool.out_dim, num_classes=NUM_CLASSES)
    return row | _cost(head, torch.zeros(1, count, dim))


def _option_line(option: Option) -> str:
    default = option.default
    text = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
    return f"{option.name}={text}" + (f" ({option.choices})" if option.choices else "")


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
