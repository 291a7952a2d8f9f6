"""What does it take to open a large lesion data set, and how fast are its pictures read?

    make bench-lesions

Opening: synthetic SLICE-3D in Kaggle's layout (a wide CSV file, an HDF5 file of JPEG bytes), each
size opened in a process of its own, beside `pandas.read_csv` and a listing of the HDF5 file's
entries, which checks and types nothing. Reading: random access through the loader that feeds an
encoder, with 0, 1 and 2 workers, from where the pictures are and from the cache that
`--cache-images` makes; small crops out of the HDF5 file, and photographs out of files. Expected:
many rows open within three times the time of what types nothing; the cache reads faster.
"""

import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.harness import MIB, command_cost, write_report
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.loaders import build_loader
from toolkit_common.data.resized import resize_images, shorter_side
from toolkit_common.images.transforms import Preprocess, build_eval_transform
from toolkit_common.sources.load import load_data
from toolkit_common.synthetic.cohort import Order, draw_cohort
from toolkit_common.synthetic.ham10000 import RECIPE
from toolkit_common.synthetic.make import make_data
from toolkit_common.synthetic.pictures import write_pictures

ROWS = (4000, 40_000, 400_000)
POOL = 500  # distinct pictures
CROPS, PHOTOS, DISTINCT_PHOTOS, PHOTO_SIZE = 4096, 256, 32, 1200
BATCH, WORKERS, REPEATS = 64, (0, 1, 2), 3

PLAIN = "pandas.read_csv"
IMPORTS = "import sys, datasets, h5py, pandas; from toolkit_common.sources.load import load_data"
TIMED = """{imports}
import pathlib, time
start = time.process_time()
{code}
pathlib.Path(sys.argv[2]).write_text(str(time.process_time() - start))
"""  # the imports take longer than opening a small table, and vary more
OPENERS = {
    "toolkit": "load_data(f'slice-3d:{sys.argv[1]}')",
    PLAIN: "table = pandas.read_csv(f'{sys.argv[1]}/train-metadata.csv', "
    "low_memory=False); keys = list(h5py.File(f'{sys.argv[1]}/train-image.hdf5'))",
}


@dataclass(frozen=True)
class Pictures:
    """Pictures to read: what they are, the rows, the encoder's input and the cache's size."""

    name: str
    data: ImageData
    rows: np.ndarray
    image_size: int
    cache_size: int


def main() -> None:
    """Make the data, measure, write the report."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        opened = open_all(place)
        pictures = [small_crops(place), photographs(place / "photos")]
        read = [row for item in pictures for row in read_all(item, place / "cache")]
    write_report(
        "lesions",
        title="Large lesion data sets: opening and reading",
        rows=[*opened, *read],
        notes=notes(),
    )


def open_all(place: Path) -> list[dict[str, Any]]:
    """Open every size both ways; what the imports take is taken off."""
    empty = open_with("", place)
    rows: list[dict[str, Any]] = []
    for count in ROWS:
        folder = place / f"slice-{count}"
        make_data("slice-3d", folder, rows=count, seed=0, layout=None, pool=POOL)
        costs = {way: open_with(code, folder) for way, code in OPENERS.items()}
        for way, (seconds, peak) in costs.items():
            rows.append(
                row_of(f"open {count:,} rows", way, count, seconds)
                | {"times faster": costs[PLAIN][0] / seconds, "MiB": (peak - empty[1]) / MIB}
            )
    return rows


def open_with(code: str, folder: Path) -> tuple[float, float]:
    """Return the CPU seconds of opening a folder and the peak bytes of its process, medians."""
    report = folder / "seconds.txt"
    peaks, seconds = [], []
    for _ in range(REPEATS):
        timed = TIMED.format(imports=IMPORTS, code=code or "pass")
        peaks.append(command_cost(sys.executable, "-c", timed, folder, report).peak_rss)
        seconds.append(float(report.read_text()))
    return statistics.median(seconds), statistics.median(peaks)


def small_crops(place: Path) -> Pictures:
    """Random rows of SLICE-3D."""
    data = load_data(f"slice-3d:{place / f'slice-{ROWS[1]}'}")
    rows = np.random.default_rng(0).permutation(len(data))[:CROPS]
    return Pictures("crops of 61 to 239 px in HDF5", data, rows, 112, 128)


def photographs(folder: Path) -> Pictures:
    """Large pictures in files of their own, a few over and over."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    paths = [folder / f"{number}.jpg" for number in range(PHOTOS)]
    looks = draw_cohort(Order(DISTINCT_PHOTOS, seed=0), RECIPE).cases
    write_pictures(looks, paths[:DISTINCT_PHOTOS], size=PHOTO_SIZE, rng=rng)
    for number in range(DISTINCT_PHOTOS, PHOTOS):
        paths[number].write_bytes(paths[number % DISTINCT_PHOTOS].read_bytes())
    names = [path.name for path in paths]
    pd.DataFrame({"image": names, "label": "x"}).to_csv(folder / "t.csv", index=False)
    data = load_data(f"csv:{folder / 't.csv'}")
    name = f"photographs of {PHOTO_SIZE} px in files"
    return Pictures(name, data, rng.permutation(PHOTOS), 224, 256)


def read_all(pictures: Pictures, cache: Path) -> list[dict[str, Any]]:
    """Read the pictures with every number of workers, with and without the cache."""
    start = time.perf_counter()
    how = shorter_side(pictures.cache_size)
    small = resize_images(pictures.data, pictures.rows, how=how, folder=cache)
    made = time.perf_counter() - start
    ways = {
        f"{where}, {workers} workers": (data, workers)
        for where, data in (("plain", pictures.data), ("cached", small))
        for workers in WORKERS
    }
    read(replace(pictures, rows=pictures.rows[:BATCH]), small, 0)  # imports
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(REPEATS):
        for way, (data, workers) in ways.items():
            taken[way].append(read(pictures, data, workers))
    seconds = {way: statistics.median(values) for way, values in taken.items()}
    seconds[f"make the cache of {pictures.cache_size} px"] = made
    plain = seconds[next(iter(ways))]
    return [
        row_of(f"read {pictures.name}", way, len(pictures.rows), passed)
        | {"times faster": plain / passed, "MiB": None}
        for way, passed in seconds.items()
    ]


def read(pictures: Pictures, data: ImageData, workers: int) -> float:
    """Return the wall seconds of one pass, the start of the workers included."""
    size = (pictures.image_size, pictures.image_size)
    transform = build_eval_transform(Preprocess(image_size=size))
    start = time.perf_counter()
    loader = build_loader(
        data, pictures.rows, transform=transform, batch_size=BATCH, num_workers=workers
    )
    for _ in loader:
        pass
    return time.perf_counter() - start


def row_of(what: str, way: str, count: int, seconds: float) -> dict[str, Any]:
    """Return the first columns of a row of the table."""
    return {"what": what, "way": way, "s": seconds, "per s": round(count / seconds)}


def notes() -> list[str]:
    """Return what the figures are, and what they do not say."""
    return [
        "open: CPU seconds after the imports, and peak resident memory beyond that of a process "
        f"that only imports what both ways use; medians of {REPEATS}. The toolkit also types every "
        "column, finds every picture, forms patients and withholds what must not be read; "
        "`pandas.read_csv` and a listing of the entries do none of it.",
        f"read: wall seconds of one pass over {CROPS:,} crops (to 112 px) or {PHOTOS} photographs "
        f"(to 224 px) in random order, batches of {BATCH}, the loader's start included; medians of "
        f"{REPEATS} interleaved repeats. Ratios are to the plain path with 0 workers.",
        "Files are in the page cache: a cold disk or a network share costs more, and gains more "
        "from the cache of small pictures. More workers than cores gain nothing.",
    ]


if __name__ == "__main__":
    main()
