"""Ways to spoil a finished probe run."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def change_predictions(run: Path, **columns) -> None:
    """Replace columns of every predictions file by what functions make of them."""
    for path in (run / "predictions").iterdir():
        frame = pq.read_table(path).to_pandas()
        for name, change in columns.items():
            frame[name] = change(frame[name])
        pq.write_table(pa.Table.from_pandas(frame), path)


def one_group(run: Path) -> None:
    change_predictions(run, group=lambda groups: groups.map(lambda _: "p0"))
