"""An audit as text, JSON, Markdown and one HTML file that needs nothing beside it."""

import base64
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from toolkit_common.audit.audit import Audit
from toolkit_common.audit.duplicates import Pair
from toolkit_common.audit.findings import ImagePair
from toolkit_common.audit.proxies import ColumnFacts
from toolkit_common.data.dataset import Labels
from toolkit_common.images.open import BadImageError, open_image
from toolkit_common.runs.files import atomic_folder, write_json, write_text

THUMBNAIL = 160  # pixels
MAX_PAIRS = 24  # pictured
MAX_BARS = 80  # columns in the figure
LONGEST = 40  # characters of a column's name there
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { border-bottom: 1px solid #ccc; padding: .3rem .7rem; text-align: left; }
td.figure, th.figure { text-align: right; font-variant-numeric: tabular-nums; }
.leak { color: #b00020; font-weight: 600; } .warning { color: #8a5a00; }
figure { display: inline-block; margin: .5rem; } img { max-width: 100%; }
"""
COLUMNS = ("column", "missing", "distinct", "AUROC of values", "class", "AUROC of missing", "class")


def audit_json(audit: Audit) -> dict[str, Any]:
    """Return an audit as JSON-able facts; an undefined figure is null."""
    return {
        "id": audit.data.id,
        "title": audit.data.sheet.title,
        "images": len(audit.data),
        "label": None if audit.labels is None else audit.labels.name,
        "classes": _counts(audit),
        "splits": audit.splits,
        "leak": audit.has_leak,
        "findings": [asdict(finding) for finding in audit.findings],
        "columns": [_defined(asdict(facts)) for facts in audit.columns],
        "withheld": [_defined(asdict(facts)) for facts in audit.withheld],
        "baselines": [_defined(asdict(baseline)) for baseline in audit.baselines],
        "duplicates": [
            {"images": list(_names(audit, item)), "splits": list(item.sides),
             "across": item.across, "distance": item.pair.distance, "exact": item.pair.exact,
             "turned": item.pair.turned}
            for item in audit.pairs
        ],
    }  # fmt: skip


def audit_markdown(audit: Audit) -> str:
    """Return an audit as Markdown (also what the terminal shows)."""
    lines = [f"# Audit of {audit.data.sheet.title} ({audit.data.id})", "", *_facts(audit), ""]
    lines += [f"- **{item.severity}** ({item.kind}): {item.text}" for item in audit.findings]
    for title, headings, rows in _tables(audit):
        lines += ["", f"## {title}", "", _row(headings), _row(["---"] * len(headings))]
        lines += [_row(row) for row in rows]
    return "\n".join(lines) + "\n"


def write_audit(folder: Path, audit: Audit) -> None:
    """Write `audit.json`, `audit.md` and `audit.html` (with pictures) into a new folder."""
    with atomic_folder(folder) as temporary:
        write_json(temporary / "audit.json", audit_json(audit))
        write_text(temporary / "audit.md", audit_markdown(audit))
        write_text(temporary / "audit.html", audit_html(audit))


def audit_html(audit: Audit) -> str:
    """Return an audit as one page with its pictures inside."""
    body = [f"<h1>Audit of {escape(audit.data.sheet.title)}</h1>"]
    body += [f"<p>{escape(line)}</p>" for line in _facts(audit)]
    body += ["<ul>", *_findings_html(audit), "</ul>"]
    if audit.labels is not None and (audit.columns or audit.withheld):
        figure, shown = draw_aurocs(audit, audit.labels)
        body.append(_picture(_png(figure), f"AUROC of each column alone{shown}"))
    body += [_table_html(*table) for table in _tables(audit)]
    body += list(_pairs_html(audit))
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><title>Audit</title>"
        f"<style>{STYLE}</style></head><body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def draw_aurocs(audit: Audit, labels: Labels) -> tuple[Figure, str]:
    """Draw a pair of bars for each column: its values, and its empty cells.

    Returns:
        The figure, and what to say where not all columns are in it.
    """
    facts = sorted([*audit.columns, *audit.withheld], key=lambda item: item.name)
    facts.sort(key=_best_auroc)
    shown = f" (the best {MAX_BARS} of {len(facts)})" if len(facts) > MAX_BARS else ""
    facts = facts[-MAX_BARS:]
    figure = Figure(figsize=(8, 1.2 + 0.3 * len(facts)), layout="constrained")
    axes = figure.subplots()
    at = np.arange(len(facts))
    withheld = {item.name for item in audit.withheld}
    values = np.nan_to_num([item.value_auroc for item in facts], nan=0.5)
    missing = np.nan_to_num([item.missing_auroc for item in facts], nan=0.5)
    axes.barh(at + 0.2, values - 0.5, 0.4, left=0.5, label="values", color="#3366aa")
    axes.barh(at - 0.2, missing - 0.5, 0.4, left=0.5, label="is empty", color="#dd8833")
    names = [
        _short(item.name) + (" (leak list)" if item.name in withheld else "") for item in facts
    ]
    # Names are the user's own: a dollar sign in them begins no formula.
    axes.set_yticks(at, names, parse_math=False)
    axes.set_xlim(0.5, 1.0)
    told = f"AUROC against {_short(labels.name)!r}, best class against the rest"
    axes.set_xlabel(told, parse_math=False)
    axes.legend(loc="lower right")
    return figure, shown


def _best_auroc(facts: ColumnFacts) -> float:
    known = [value for value in (facts.value_auroc, facts.missing_auroc) if not math.isnan(value)]
    return max(known, default=0.0)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 3]}..."


def _facts(audit: Audit) -> list[str]:
    label = "no label"
    if audit.labels is not None:
        classes = ", ".join(f"{name} {count:,}" for name, count in _counts(audit).items())
        label = f"label {audit.labels.name}: {classes}"
    return [f"{len(audit.data):,} images; {label}; splits: {audit.splits}"]


def _counts(audit: Audit) -> dict[str, int]:
    """Images of each class."""
    if audit.labels is None:
        return {}
    known = audit.labels.targets[audit.labels.targets >= 0]
    counts = np.bincount(known, minlength=len(audit.labels.classes))
    return dict(zip(audit.labels.classes, counts.tolist(), strict=True))


def _tables(audit: Audit) -> Iterator[tuple[str, Sequence[str], list[list[str]]]]:
    columns = [*audit.withheld, *audit.columns]
    if columns:
        rows = [
            [item.name, f"{item.missing:.1%}", str(item.distinct), _figure(item.value_auroc),
             item.value_class, _figure(item.missing_auroc), item.missing_class]
            for item in columns
        ]  # fmt: skip
        yield "Each column against the label", COLUMNS, rows
    if audit.baselines:
        rows = [
            [item.name, str(item.columns), _figure(item.auroc), _figure(item.balanced_accuracy)]
            for item in audit.baselines
        ]
        headings = ("baseline, no image", "columns", "test AUROC", "test balanced accuracy")
        yield "What metadata says without the image", headings, rows
    if audit.pairs:
        rows = [
            [*_names(audit, item), *item.sides, _difference(item.pair)]
            for item in audit.pairs[:MAX_PAIRS]
        ]  # fmt: skip
        title = f"Duplicates (first {len(rows)} of {len(audit.pairs)} pairs)"
        yield title, ("image", "image", "split", "split", "differs"), rows


def _names(audit: Audit, item: ImagePair) -> tuple[str, str]:
    ids = audit.data.table["image_id"]
    return str(ids.iloc[item.pair.first]), str(ids.iloc[item.pair.second])


def _figure(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.3f}"


def _defined(facts: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in facts.items()
    }


def _row(cells: Sequence[str]) -> str:
    escaped = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return "| " + " | ".join(escaped) + " |"


def _findings_html(audit: Audit) -> Iterator[str]:
    for item in audit.findings:
        mark = f"<span class='{item.severity}'>{item.severity}</span>"
        yield f"<li>{mark} ({escape(item.kind)}): {escape(item.text)}</li>"


def _table_html(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["".join(f"<th>{escape(cell)}</th>" for cell in headings)]
    lines += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f"<h2>{escape(title)}</h2>\n<table>{body}</table>"


def _pairs_html(audit: Audit) -> Iterator[str]:
    for item in audit.pairs[:MAX_PAIRS]:
        sheet = Image.new("RGB", (2 * THUMBNAIL + 8, THUMBNAIL), "white")
        for side, row in enumerate((item.pair.first, item.pair.second)):
            sheet.paste(_thumbnail(audit, row), (side * (THUMBNAIL + 8), 0))
        content = BytesIO()
        sheet.save(content, "PNG")
        places = " / ".join(
            f"{name} ({side})" for name, side in zip(_names(audit, item), item.sides, strict=True)
        )
        yield _picture(content.getvalue(), f"{places}: {_difference(item.pair)}")


def _difference(pair: Pair) -> str:
    if pair.exact:
        return "exact"
    return f"{pair.distance} bits apart" + (", mirrored or turned" if pair.turned else "")


def _thumbnail(audit: Audit, row: int) -> Image.Image:
    try:
        image = open_image(audit.data.images[row]["image"])
    except BadImageError:
        return Image.new("RGB", (THUMBNAIL, THUMBNAIL), "gray")
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    return image


def _png(figure: Figure) -> bytes:
    content = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # not every script is in matplotlib's font
        figure.savefig(content, format="png", dpi=110)
    return content.getvalue()


def _picture(png: bytes, caption: str) -> str:
    data = base64.b64encode(png).decode()
    return (
        f"<figure><img alt='{escape(caption)}' src='data:image/png;base64,{data}'>"
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
