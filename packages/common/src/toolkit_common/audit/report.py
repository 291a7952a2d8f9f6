"""An audit as text, JSON, Markdown and one HTML file that needs nothing beside it."""

import base64
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment
from PIL import Image

from toolkit_common.audit.audit import Audit
from toolkit_common.audit.duplicates import Pair
from toolkit_common.audit.findings import ImagePair
from toolkit_common.images.open import BadImageError, open_image
from toolkit_common.runs.files import atomic_folder, write_json, write_text

THUMBNAIL = 160  # pixels
MAX_PAIRS = 24  # pictured
# Of a column's AUROC a bar is shown, from chance to 1.
PAGE = """<!doctype html>
<html lang='en'><head><meta charset='utf-8'><title>Audit</title>
<meta name='viewport' content='width=device-width, initial-scale=1'><style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid #ccc; padding: .3rem .7rem; text-align: left; }
.leak { color: #b00020; font-weight: 600; } .warning { color: #8a5a00; }
figure { display: inline-block; margin: .5rem; } img { max-width: 100%; }
</style></head><body>
<h1>Audit of {{ title }}</h1>
<p>{{ facts }}</p>
<ul>{% for item in findings %}
<li><span class='{{ item.severity }}'>{{ item.severity }}</span> ({{ item.kind }}): {{ item.text }}
{%- endfor %}</ul>
{% for title, headings, rows in tables %}
<h2>{{ title }}</h2>
<table><tr>{% for heading in headings %}<th>{{ heading }}</th>{% endfor %}</tr>
{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}
{%- if "AUROC" in headings[loop.index0] and cell != undefined_figure %}
<meter min='0.5' max='1' value='{{ cell }}'></meter>{% endif %}</td>{% endfor %}</tr>
{% endfor %}</table>
{% endfor %}
{% for png, caption in pictures %}<figure><img alt='{{ caption }}' src='data:image/png;base64,
{{- png }}'><figcaption>{{ caption }}</figcaption></figure>
{% endfor %}</body></html>
"""
UNDEFINED = "undefined"
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
             "turned": item.pair.turned, "correlation": round(item.pair.correlation, 4)}
            for item in audit.pairs
        ],
    }  # fmt: skip


def audit_markdown(audit: Audit) -> str:
    """Return an audit as Markdown (also what the terminal shows)."""
    lines = [f"# Audit of {audit.data.sheet.title} ({audit.data.id})", "", _facts(audit), ""]
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
    # Escaped: names and values are the user's.
    page = Environment(autoescape=True).from_string(PAGE)
    return page.render(
        title=audit.data.sheet.title,
        facts=_facts(audit),
        findings=audit.findings,
        tables=_tables(audit),
        undefined_figure=UNDEFINED,
        pictures=[_picture(audit, item) for item in audit.pairs[:MAX_PAIRS]],
    )


def _facts(audit: Audit) -> str:
    label = "no label"
    if audit.labels is not None:
        classes = ", ".join(f"{name} {count:,}" for name, count in _counts(audit).items())
        label = f"label {audit.labels.name}: {classes}"
    return f"{len(audit.data):,} images; {label}; splits: {audit.splits}"


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
    return UNDEFINED if math.isnan(value) else f"{value:.3f}"


def _defined(facts: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in facts.items()
    }


def _row(cells: Sequence[str]) -> str:
    # A bar or a line break would end the cell.
    escaped = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return "| " + " | ".join(escaped) + " |"


def _picture(audit: Audit, item: ImagePair) -> tuple[str, str]:
    """Return both images of a pair side by side, a PNG file in base64, and what they are."""
    sheet = Image.new("RGB", (2 * THUMBNAIL + 8, THUMBNAIL), "white")
    for side, row in enumerate((item.pair.first, item.pair.second)):
        sheet.paste(_thumbnail(audit, row), (side * (THUMBNAIL + 8), 0))
    content = BytesIO()
    sheet.save(content, "PNG")
    names = zip(_names(audit, item), item.sides, strict=True)
    places = " / ".join(f"{name} ({side})" for name, side in names)
    return base64.b64encode(content.getvalue()).decode(), f"{places}: {_difference(item.pair)}"


def _difference(pair: Pair) -> str:
    if pair.exact:
        return "exact"
    turned = ", mirrored or turned" if pair.turned else ""
    return f"pixels correlate by {pair.correlation:.3f}{turned}"


def _thumbnail(audit: Audit, row: int) -> Image.Image:
    try:
        image = open_image(audit.data.images[row]["image"])
    except BadImageError:
        return Image.new("RGB", (THUMBNAIL, THUMBNAIL), "gray")
    image.thumbnail((THUMBNAIL, THUMBNAIL))  # in place
    return image
