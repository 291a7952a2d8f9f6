"""Do the claims of Efficient Probing hold on encoders that were pre-trained here?

    python benchmarks/mim.py mae --data ID --output runs/mae        # supervised, simclr
    toolkit study run studies/ep-pretraining.yaml --set data=ID --set "encoders={MAE: runs/mae}"
    ...       # ep-rivals, ep-queries, ep-low-shot, ep-layers, ep-attention, ep-tuning
    make bench-ep-claims ARGS='--pretrained runs/mae --about "CIFAR-10, ..."'

Reads the studies' finished cells below `--runs`, and writes a row a claim: what the paper says,
what was run, the figure with its interval and the verdict that follows from it. Expected: what the
paper says. What was not run says so. An encoder called `random` or `random weights` is the
untrained control; one that begins with `MIM` is a masked one too, beside which nothing is held.
Whichever size, data and encoders the studies were run with, the script is the same: a ViT-S on more
images is `mim.py`'s options.
"""

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from lib.claims.evidence import Studies
from lib.claims.judges import ALL_LABELS, CLAIMS, all_claims
from lib.claims.picture import draw
from lib.claims.tables import encoders_table, maps_table, other_rows, rivals_tables
from lib.harness import RESULTS, write_report
from lib.pretraining import doubts
from toolkit_common.console import console
from toolkit_common.errors import InputError
from toolkit_common.runs.files import read_json

MASKED = "MAE"
CHECKS = ("held-out", "linear probing")  # how names of mim.py's figures begin
PLOTTED = ("top-1, %", "lead", "low", "high")  # what the picture takes of a row


def main() -> None:
    """Judge every claim and write the report."""
    try:
        report(read_arguments())
    except InputError as error:
        console.print(f"error: {error}", markup=False)
        raise SystemExit(2) from None


def report(given: argparse.Namespace) -> None:
    """Judge every claim and write the report.

    Raises:
        InputError: If the study of encoders was not run or has no such masked one, or rows cannot
            be compared.
    """
    studies = Studies(given.runs, given.masked)
    if not studies.cells("ep-pretraining"):
        raise InputError(
            f"{given.runs}/ep-pretraining holds no finished probe run: carry out "
            "studies/ep-pretraining.yaml first"
        )
    if given.masked not in (judged := studies.encoders()):
        raise InputError(f"--masked {given.masked}: the study has {', '.join(judged)}")
    encoders, rivals = encoders_table(studies), rivals_tables(studies)
    write_report(
        "ep-claims",
        title="Do EP's claims hold here?",
        rows=[claim.to_row() for claim in all_claims(studies)],
        notes=notes(studies, given.pretrained, given.about),
        figure=draw(encoders, rivals.get(given.masked, []), given.masked),
        more={
            heading: [
                {key: value for key, value in row.items() if key not in PLOTTED} for row in rows
            ]
            for heading, rows in (
                ("Encoders and probes", encoders),
                *((f"Every pooling on {name}", rows) for name, rows in rivals.items()),
                ("Labels, layers and queries", other_rows(studies)),
                ("Attention maps", maps_table(studies)),
            )
            if rows
        },
        data={"plotted": [*encoders, *rivals.get(given.masked, [])]},
    )


def read_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--runs", type=Path, default=Path("runs"), help="folder of the studies' folders")
    add("--masked", default=MASKED, help="name of the encoder that was pre-trained by masking")
    add("--about", default="", help="a sentence about data and encoders, for the notes")
    add("--pretrained", type=Path, nargs="*", default=[], help="folders that mim.py wrote")
    add("--output", type=Path, default=RESULTS, help="folder of the report; lib.harness reads it")
    return parser.parse_args(words)


def notes(studies: Studies, pretrained: Sequence[Path], about: str) -> list[str]:
    """Return what was run on, and what these figures do not say."""
    cell = studies.cells("ep-pretraining")[0]
    results = cell.run.results
    data = results.data
    sizes = ", ".join(f"{name} {count:,}" for name, count in data.sizes.items())
    return [
        "**Figures are ours and small**: encoders of minutes, not of the paper; a claim that does "
        "not hold here may hold there, and the other way around.",
        f"Written on {datetime.now(UTC):%Y-%m-%d}: {data.source or data.title}, "
        f"{len(data.classes)} classes ({sizes}), protocol {results.protocol.name} "
        f"v{results.protocol.version}, splits {data.splits}.",
        *([about] if about else []),
        *(describe(folder) for folder in pretrained),
        f"Seeds of trained heads: {seeds_of(studies)}. Maps are of the first seed's.",
        f"Epochs of heads, where not the protocol's: {epochs_of(studies)}.",
        *remarks_of(studies),
        "Points: percentage points of top-1 accuracy on the same test images, with 95 % intervals "
        "by bootstrap over images; seeds and draws are averaged. Heads and encoders are held as "
        "they are: another pre-training may give another answer.",
        "Verdicts follow from intervals: above 0 holds, below 0 does not, else it cannot be told "
        "(of maps: EP's interval below the other's, above it, or meeting it). "
        "A claim of several figures holds where all are above 0, each by its own interval, and "
        "does not where any is below: of many that one is may be chance, so they are counted.",
        "What the paper says is top-1 on ImageNet-1k: linear -> EP of the paper's table, the best "
        "over queries; the patches' mean and k-NN of its repository's results. Linear reads "
        "the class token, or the mean where an encoder's card says so; mean the patches' mean. EP "
        "reads what the card says: patches, or all tokens, the class token too (all); of twins "
        "that read other tokens the difference of their gains is of that as well.",
    ]


def seeds_of(studies: Studies) -> str:
    """Return how many seeds heads have in each study that was run, by encoder where they differ."""
    told = []
    for study in dict.fromkeys(study for study, _ in CLAIMS.values()):
        counts = {
            str(cell.values["encoder"]): max(len({*saved.row.seeds}) for saved in trained)
            for cell in studies.cells(study)
            if (trained := [saved for saved in cell.run.rows.values() if saved.row.method == "ep"])
        }
        if len({*counts.values()}) > 1:
            which = ", ".join(f"{name} {count}" for name, count in counts.items())
            told.append(f"{study} {which}")
        elif counts:
            told.append(f"{study} {max(counts.values())}")
    return "; ".join(told)


def epochs_of(studies: Studies) -> str:
    """Return the epochs of heads in each study in which they are not those of the protocol."""
    told = {}
    for study in dict.fromkeys(study for study, _ in CLAIMS.values()):
        used = (cell.run.results.protocol.overridden for cell in studies.cells(study))
        if counts := sorted({int(given["epochs"]) for given in used if "epochs" in given}):
            told[study] = " and ".join(map(str, counts))
    return "; ".join(f"{study} {counts}" for study, counts in told.items()) or "none"


def remarks_of(studies: Studies) -> list[str]:
    """Return what runs have said of rows, such as an edge of a grid, a sentence each."""
    told: dict[str, dict[str, list[str]]] = {}
    for study in dict.fromkeys(study for study, _ in CLAIMS.values()):
        for cell in studies.cells(study):
            for saved in cell.run.rows.values():
                few = "" if saved.row.labels == ALL_LABELS else f" at {saved.row.labels}"
                name = f"{cell.values['encoder']} {saved.row.method}{few}"
                for remark in saved.row.remarks:
                    rows = told.setdefault(remark, {}).setdefault(study, [])
                    rows += [name] if name not in rows else []
    return [
        f"Said of rows: {remark} ("
        + "; ".join(f"{study}: {', '.join(names)}" for study, names in rows.items())
        + ")."
        for remark, rows in told.items()
    ]


def describe(folder: Path) -> str:
    """Return how an encoder was pre-trained, and whether it has learned.

    Raises:
        InputError: If the folder is none that mim.py wrote.
    """
    if not (folder / "arguments.json").is_file():
        raise InputError(f"--pretrained {folder} is no folder that benchmarks/mim.py wrote")
    given = read_json(folder / "arguments.json")
    provenance = read_json(folder / "encoder/encoder.json")["provenance"]
    file = folder / "checks.json"
    checks = read_json(file) if file.exists() else provenance
    figures = "".join(
        f"; {name} {value:.3f}" for name, value in checks.items() if name.startswith(CHECKS)
    )
    return (
        f"{given['objective']}: {given['depth']} blocks of {given['width']}, {given['image_size']} "
        f"px in patches of {given['patch_size']}, {given['epochs']} epochs of "
        f"{provenance['steps'] // given['epochs'] * given['batch_size']:,} images{figures}."
        + (f" **{doubt}.**" if (doubt := doubts(checks)) else "")
    )


if __name__ == "__main__":
    main()
