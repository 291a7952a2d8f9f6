"""The settings of `toolkit reproduce`: each field is an option."""

from pathlib import Path

from toolkit_common.config import Names, Settings, option

TOLERANCE = 0.5  # points; what is behind it stands in docs/reports.md


class ReproduceSettings(Settings):
    """With which weights and data a published row is measured, and how near is near enough."""

    weights: Path | None = option(None, "File of the encoder's weights.")
    data: str | None = option(
        None, "Folder of the row's data set (ImageNet: train and val), or its id.", flag="-d"
    )
    backbone: str | None = option(
        None, "Your encoder of the row, where timm and open_clip have none.", flag="-b"
    )
    method: Names = option(
        ("knn", "linear", "ep"), "Which figures, comma-separated: knn, linear, ep.", flag="-m"
    )
    tolerance: float = option(
        TOLERANCE, "Points of top-1 accuracy that PASS may differ by, up or down.", gt=0
    )
    rows: Path | None = option(
        None, "File of published rows, in place of those of Efficient Probing."
    )
    overwrite: bool = option(False, "Run again what was run with other settings.")
