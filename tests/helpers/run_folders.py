"""Run folders as they lie on disk, without a run."""

import json
from collections.abc import Mapping
from pathlib import Path

SETTINGS = "backbone: timm:vit  # --backbone\ndata: csv:t.csv  # --data\n"


def write_run(
    folder: Path,
    *,
    kind: str = "probe",
    settings: str = SETTINGS,
    rows: Mapping[str, tuple[float | None, str]] | None = None,
    is_done: bool = True,
) -> Path:
    """Write a run folder; rows: name -> balanced accuracy, and whether patients were seen."""
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"kind": kind}))
    (folder / "config.yaml").write_text(settings)
    (folder / "manifest.json").write_text('{"run.json": "1", "checkpoints/step-1.pt": "2"}')
    if rows is not None or is_done:
        listed = [
            {"name": name, "seen": seen, "metrics": {"balanced_accuracy": {"mean": mean}}}
            for name, (mean, seen) in (rows or {}).items()
        ]
        (folder / "results.json").write_text(json.dumps({"rows": listed}))
    if is_done:
        (folder / "DONE").touch()
    return folder
