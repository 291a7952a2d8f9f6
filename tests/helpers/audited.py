"""A small data set with two groups of columns to plant leaks in, and what an audit says of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers.small_data import build_data, image_bytes
from toolkit_common.audit.audit import Audit, audit_data
from toolkit_common.audit.settings import AuditSettings
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.sheet import Column, Sheet

ROWS = 60
SHEET = Sheet(
    "small",
    columns=(Column("age", "patient", "numeric"), Column("smoke", "patient", "boolean")),
    leaks={"biopsed": "decided later"},
)
IMAGES = [image_bytes(row) for row in range(ROWS)]


def data(**changes: Any) -> ImageData:
    rng = np.random.default_rng(0)
    given = {
        "groups": [f"p{row // 2}" for row in range(ROWS)],
        "images": IMAGES,
        "sheet": SHEET,
        "age": rng.integers(20, 80, ROWS).astype(float).tolist(),
        "smoke": rng.choice(["true", "false"], ROWS).tolist(),
    }
    return build_data(["a", "a", "b", "b"] * (ROWS // 4), **(given | changes))


def kinds(audit: Audit) -> dict[str, str]:
    return {finding.kind: finding.severity for finding in audit.findings}


def run_audit(data: ImageData, **options: Any) -> Audit:
    """Audit a data set, by default without decoding its images."""
    return audit_data(data, AuditSettings(**{"images": False} | options))


def audit_with_images(data: ImageData) -> Audit:
    return run_audit(data, images=True)


def write_csv(folder: Path, table: dict[str, list[Any]]) -> str:
    for row, content in enumerate(IMAGES):
        (folder / f"{row}.png").write_bytes(content)
    frame = pd.DataFrame({"image": [f"{row}.png" for row in range(ROWS)], **table})
    frame.to_csv(folder / "table.csv", index=False)
    return f"csv:{folder / 'table.csv'}"
