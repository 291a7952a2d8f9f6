"""Builds the embedded lesion sample: whole patients of PAD-UFES-20, at most LIMIT_BYTES of images.

    python packages/common/scripts/build_lesion_sample.py PAD_UFES_20_FOLDER

Patients with a rare diagnosis (melanoma, squamous cell carcinoma) or several lesions come first:
tests of rare classes and of the patient level need them; the others follow in a seeded order.
Images and table rows are copied as they are.
"""

import csv
import random
import shutil
import sys
from collections import defaultdict
from pathlib import Path

LIMIT_BYTES = 5_400_000
SEED = 0
RARE = ("MEL", "SCC")
TARGET = Path(__file__).parents[1] / "src/toolkit_common/sources/lesions/pad_ufes_20_sample"


def main(source: Path) -> None:
    """Choose the patients, then write `metadata.csv` and `images/` anew."""
    with (source / "metadata.csv").open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        header = list(reader.fieldnames or ())
        by_patient: dict[str, list[dict[str, str]]] = defaultdict(list)
        for row in reader:
            by_patient[row["patient_id"]].append(row)
    images = {path.name: path for path in (source / "images").rglob("*.*")}
    chosen = _choose(by_patient, {name: path.stat().st_size for name, path in images.items()})
    shutil.rmtree(TARGET / "images", ignore_errors=True)
    (TARGET / "images").mkdir(parents=True)
    for row in chosen:
        shutil.copyfile(images[row["img_id"]], TARGET / "images" / row["img_id"])
    with (TARGET / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, header, lineterminator="\n")
        writer.writeheader()
        writer.writerows(chosen)
    sys.stdout.write(f"{len(chosen)} images in {TARGET}\n")


def _choose(
    by_patient: dict[str, list[dict[str, str]]], sizes: dict[str, int]
) -> list[dict[str, str]]:
    patients = sorted(by_patient)
    random.Random(SEED).shuffle(patients)
    patients.sort(
        key=lambda patient: (
            not (
                len(by_patient[patient]) > 1
                or any(row["diagnostic"] in RARE for row in by_patient[patient])
            )
        )
    )
    chosen: list[dict[str, str]] = []
    total = 0
    for patient in patients:
        rows = by_patient[patient]
        size = sum(sizes[row["img_id"]] for row in rows)
        if total + size <= LIMIT_BYTES:
            chosen += rows
            total += size
    return sorted(chosen, key=lambda row: row["img_id"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
