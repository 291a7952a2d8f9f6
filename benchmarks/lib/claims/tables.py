"""Tables of what the studies have found, by encoder, pooling, labels, layer; of `ep_claims`."""

from collections.abc import Sequence
from typing import Any

from lib.claims.evidence import Cell, Studies, contrast, find, gain, methods_of, read_maps
from lib.claims.judges import POOLED
from toolkit_probing.results.saved import SavedRow

BASES = ("linear", "mean")
VECTORS = ("linear", "mean", "logreg", "knn")
Rows = list[dict[str, Any]]
SHOWN = {  # statistic of maps -> its column
    "entropy": "entropy", "overlap": "overlap", "coverage": "coverage",
    "effective_queries": "effective queries", "pointing": "pointing game", "iou": "IoU",
    "inside": "inside mask", "area": "mask area",
}  # fmt: skip


def encoders_table(studies: Studies) -> Rows:
    """Return a row an encoder and probe, with EP's lead over it."""
    cells = studies.cells("ep-pretraining")
    return [
        line(find(cells, encoder, method), find(cells, encoder, "ep"), encoder)
        for encoder in studies.encoders()
        for method in ("ep", *VECTORS)
        if method in methods_of(cells, encoder)
    ]


def rivals_tables(studies: Studies) -> dict[str, Rows]:
    """Return by encoder a row a pooling, the most accurate first; the masked encoder first."""
    cells = studies.cells("ep-rivals")
    names = [name for name in studies.encoders("ep-rivals") if "ep" in methods_of(cells, name)]
    return {name: _rivals_table(cells, name) for name in names}


def _rivals_table(cells: Sequence[Cell], name: str) -> Rows:
    judged, ep = methods_of(cells, name), find(cells, name, "ep")
    methods = [method for method in ("ep", *POOLED) if method in judged]
    rows = [line(find(cells, name, method), ep, name) for method in methods]
    return sorted(rows, key=lambda row: -row["top-1, %"])


def line(row: SavedRow, ep: SavedRow, encoder: str) -> dict[str, Any]:
    """Return what tables say of one row."""
    lead, is_ep = gain(ep, row), row.row.method == "ep"
    top1, auroc = (row.row.metrics[name] for name in ("top1", "auroc"))
    assert top1.mean is not None
    assert top1.ci is not None
    return {
        "encoder": encoder,
        "probe": row.row.method,
        "parameters": row.row.num_parameters,
        "top-1, %": 100 * top1.mean,
        "top-1 [95 %]": f"{100 * top1.mean:.1f} [{100 * top1.ci[0]:.1f}, {100 * top1.ci[1]:.1f}]",
        "AUROC": auroc.mean,
        "EP - it, points": "-" if is_ep else lead.text,
        "low": lead.low,
        "lead": lead.value,
        "high": lead.high,
    }


def other_rows(studies: Studies) -> Rows:
    """Return EP against both linear probes by labels and layer, and EP by its queries."""
    rows: Rows = []
    for study, field in (("ep-low-shot", "labels"), ("ep-layers", "layer"), ("ep-queries", "")):
        for cell in studies.cells(study):
            saved = [*cell.run.rows.values()] if cell.step != "widths-of-ep" else []
            bases = [item for item in saved if item.row.method in BASES]
            eps = [item for item in saved if item.row.method == "ep"] if bases else []
            rows += [other_row(cell, ep, bases, field) for ep in eps]
    return rows


def other_row(cell: Cell, ep: SavedRow, bases: Sequence[SavedRow], field: str) -> dict[str, Any]:
    """Return a row of EP beside linear probes of the same labels and layer."""
    alike = {
        item.row.method: item for item in bases
        if not field or getattr(item.row, field) == getattr(ep.row, field)
    }  # fmt: skip
    at = (
        f"{field} {getattr(ep.row, field)}" if field else f"queries {ep.row.options['num_queries']}"
    )
    beside = [alike.get(name) for name in BASES]
    return {
        "encoder": str(cell.values["encoder"]),
        "by": at,
        "EP, %": contrast((1.0, ep)).value,
        **{f"{name}, %": "-" if base is None else contrast((1.0, base)).value
           for name, base in zip(BASES, beside, strict=True)},
        **{f"EP - {name}, points": "-" if base is None else gain(ep, base).text
           for name, base in zip(BASES, beside, strict=True)},
    }  # fmt: skip


def maps_table(studies: Studies) -> Rows:
    """Return a row an encoder and head with maps, statistics of masks where there are masks."""
    return [
        {
            "encoder": name,
            "probe": head["method"],
            "queries": head["num_queries"],
            **{SHOWN[key]: head["statistics"][key]["mean"] for key in SHOWN
               if key in head["statistics"]},
        }
        for name in studies.encoders("ep-attention")
        for head in read_maps(studies.folder / "ep-attention", name)
    ]  # fmt: skip
