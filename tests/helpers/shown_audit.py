"""An audit made up by hand, with all that is hard to show: long, hostile and undefined."""

from dataclasses import replace
from math import nan

from PIL import Image

from helpers.small_data import build_data, encode
from toolkit_common.audit.audit import Audit
from toolkit_common.audit.baselines import Baseline
from toolkit_common.audit.duplicates import Pair
from toolkit_common.audit.findings import Finding, ImagePair
from toolkit_common.audit.proxies import ColumnFacts
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.sheet import Column, Sheet

HOSTILE = "<script>alert(1)</script>\x1b[2J|a*b\ntwo"
LONG = "seborrhoeic keratosis of the back, irritated"
CLASSES = (LONG, "nevus", HOSTILE)
SHEET = Sheet(
    "A set of lesions",
    source="Somebody (2026)",
    licence="CC BY 4.0",
    columns=(
        Column("age", "patient", "numeric", unit="years"),
        Column("smoke", "patient", "boolean"),
    ),
    notes=("mind the gap",),
)  # fmt: skip


def shown_data() -> ImageData:
    """Twelve pictures of three classes, of six groups."""
    images = [encode(Image.new("RGB", (8, 6), (20 * row, 90, 60))) for row in range(12)]
    return build_data(
        [CLASSES[row % 3] for row in range(12)],
        groups=[f"p{row // 2}" for row in range(12)],
        images=images,
        sheet=SHEET,
        age=[40.0 + row for row in range(12)],
        smoke=["yes", None] * 6,
    )


def column(name: str, value: float, missing: float, word: str) -> ColumnFacts:
    return ColumnFacts(
        name, 0.358, 1077, value, word, True, value, word, missing, word, True, missing, word,
        numbers=False, constant=False, id_like=False,
    )  # fmt: skip


def shown_audit() -> Audit:
    """A leak, a warning and a note; columns, baselines and pairs."""
    data = shown_data()
    pairs = [
        ImagePair(Pair(0, 4, 0, exact=True), ("train", "test"), True),
        ImagePair(Pair(1, 2, 5, exact=False, turned=True, correlation=0.93), ("val", "val"), False),
    ]
    text = ("empty cells tell 'nevus': AUROC 0.766 from 'smoke' being empty (2 such columns: "
            "smoke, background_of_the_father); impute without an indicator, or use complete "
            "rows")  # fmt: skip
    return Audit(
        data=data,
        labels=data.labels(),
        splits="made: grouped, stratified, 60/20/20, split seed 0",
        columns=[
            column("age", 0.913, 0.5, "nevus"),
            column("smoke", nan, 0.766, LONG),
            column(HOSTILE, 0.55, 0.61, HOSTILE),
        ],
        withheld=[column("biopsed", 1.0, 0.5, "nevus")],
        pairs=pairs,
        baselines=[
            Baseline("missingness", 21, 0.707, 0.29, True, 0.7),
            Baseline("metadata", 21, nan, 0.591, True, nan),
        ],
        findings=[
            Finding("leak", "missingness", text),
            Finding("warning", "label proxy", f"column {HOSTILE} alone tells 'nevus'"),
            Finding("note", "post-dates the diagnosis", "column 'biopsed' is on the leak list"),
        ],
    )


def sound_audit() -> Audit:
    """The same without a leak, a label or a decoded image."""
    whole = shown_audit()
    return replace(
        whole, labels=None, columns=[], withheld=[], baselines=[], pairs=[],
        findings=whole.findings[2:], has_images=False,
    )  # fmt: skip
