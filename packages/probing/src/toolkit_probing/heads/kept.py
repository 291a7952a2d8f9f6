"""Which files of a run's `heads/` hold the heads of which of its rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from toolkit_probing.heads.files import read_spec
from toolkit_probing.heads.trainable_encoder import Tuning
from toolkit_probing.settings import ProbeSettings

DRAW = "-draw"  # before the number of a draw of the labels


def heads_of_rows(
    run: Path, names: Mapping[str, str], settings: ProbeSettings
) -> Mapping[str, Sequence[Path]]:
    """Return the files of each row's heads: one a seed and draw of the labels, the first first.

    Args:
        run: The run's folder.
        names: The row that each name of heads is of.
        settings: The run's.
    """
    tuned = "" if settings.tune == "none" else f"-{Tuning(settings.tune, settings.lora_rank).name}"
    ways = {f"-{Tuning('full').name}", tuned, "", "-published"}
    heads: dict[str, list[tuple[str, int, Path]]] = {}
    for file in sorted((run / "heads").glob("*.safetensors")):
        spec = read_spec(file)
        # Behind the key stand the amount of labels and the draw.
        behind = file.stem.removeprefix(spec.key)
        slug = behind.rpartition(DRAW)[0]
        for name in {f"{spec.variant}{way}{slug}" for way in ways} & names.keys():
            heads.setdefault(names[name], []).append((behind, spec.seed, file))
    return {name: [file for *_, file in sorted(items)] for name, items in heads.items()}


def repeat_of(file: Path) -> tuple[int, int]:
    """Return the seed and the draw of the labels of a head's file."""
    spec = read_spec(file)
    draw = file.stem.removeprefix(spec.key).rpartition(DRAW)[2]
    return spec.seed, int(draw) if draw.isdigit() else 0
