"""Writes small exports of the ISIC archive for tests."""

from pathlib import Path
from typing import Any

import pandas as pd

from helpers.small_data import write_images


def write_export(
    root: Path, *rows: dict[str, Any], table: str = "metadata.csv", images: str = "images"
) -> Path:
    """Write a table and an image for each row; `isic_id` counts from ISIC_0000000."""
    numbered = [{"isic_id": f"ISIC_{place:07d}"} | row for place, row in enumerate(rows)]
    path = root / table
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(numbered).to_csv(path, index=False)
    write_images(root / images, *(f"{row['isic_id']}.jpg" for row in numbered))
    return root
