"""Ways to spoil a finished probe run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from toolkit_common.runs.files import write_json


def change_predictions(run: Path, **columns) -> None:
    """Replace columns of every predictions file, as if the run had written what functions make."""
    for path in (run / "predictions").iterdir():
        _change_columns(path, columns)
    forget_manifest(run)


def change_test_rows(run: Path, **columns) -> None:
    """Replace columns of the test images, as if the run had written what functions make."""
    _change_columns(run / "test_rows.parquet", columns)
    forget_manifest(run)


def _change_columns(path: Path, columns: Mapping[str, Any]) -> None:
    frame = pq.read_table(path).to_pandas()
    for name, change in columns.items():
        frame[name] = change(frame[name])
    pq.write_table(pa.Table.from_pandas(frame), path)


def write_results(run: Path, results: Mapping[str, Any]) -> None:
    """Replace the results of a run, as if it had found these."""
    write_json(run / "results.json", results)
    forget_manifest(run)


def forget_manifest(run: Path) -> None:
    """Remove the checksums of a run, so that what a test writes in it passes for its own."""
    (run / "manifest.json").unlink(missing_ok=True)


def one_group(run: Path) -> None:
    change_predictions(run, group=lambda groups: groups.map(lambda _: "p0"))
