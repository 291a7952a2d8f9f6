"""Claims on EP beside light tuning; of `judges`."""

from collections.abc import Iterator
from dataclasses import replace

from lib.claims.evidence import Cell, Finding, Studies, find, gain, sized
from lib.claims.verdicts import Claim, not_run, of_all

BESIDE = "EP helps beside light tuning"
UNEQUAL = "cannot be told: tuned for other epochs than frozen"
FROZEN = "frozen"  # the tuning of an encoder that is not
FULL = "full"  # the tuning that is not light


def tuning_agrees(studies: Studies) -> Iterator[Claim]:
    """EP on the frozen encoder against tuned ones with a linear head, and EP on those."""
    name = studies.masked
    of_tuning: dict[str, list[Cell]] = {}
    for cell in studies.cells("ep-tuning"):
        if cell.values["encoder"] == name and not _is_fully_tuned(cell):
            of_tuning.setdefault(tuning_of(cell), []).append(cell)
    frozen = of_tuning.pop(FROZEN, [])
    if not frozen or not of_tuning:
        yield not_run(BESIDE, "ep-tuning.yaml, frozen and tuned")
        return
    ep, paper = find(frozen, name, "ep"), "comparison with fine-tuning of few parameters"
    tuned = {
        tuning: tuple(find(cells, name, method) for method in ("ep", "linear"))
        for tuning, cells in of_tuning.items()
    }
    size, which = sized(name, ep), ", ".join(tuned)
    epochs = {str(cell.run.results.protocol.overridden.get("epochs", "its protocol's"))
              for cells in (frozen, *of_tuning.values()) for cell in cells}  # fmt: skip

    def held(claim: str, run: str, gains: dict[str, Finding]) -> Claim:
        """Return a claim of frozen against tuned ones, which is none where they trained unlike."""
        found = of_all(claim, paper, run, gains)
        return replace(found, verdict=UNEQUAL) if len(epochs) > 1 else found

    yield held(
        "EP on the frozen encoder is above a linear head on a tuned one",
        f"{size}: EP, frozen ({ep.row.num_parameters:,} parameters) - linear with {which} (each "
        f"{', '.join(f'{linear.row.num_parameters:,}' for _, linear in tuned.values())})",
        {tuning: gain(ep, linear) for tuning, (_, linear) in tuned.items()},
    )  # fmt: skip
    yield of_all(
        BESIDE, paper, f"{name}: EP - linear, both with {which}",
        {tuning: gain(better, linear) for tuning, (better, linear) in tuned.items()},
    )  # fmt: skip
    yield held(
        "Light tuning helps beside EP", f"{name}: EP with {which} - EP, frozen",
        {tuning: gain(better, ep) for tuning, (better, _) in tuned.items()},
    )  # fmt: skip


def tuning_of(cell: Cell) -> str:
    """Return how a cell's encoder was tuned: `frozen`, `LoRA 4`."""
    return " ".join(
        str(cell.values[axis]) for axis in ("tuning", "lora_rank") if axis in cell.values
    )


def _is_fully_tuned(cell: Cell) -> bool:
    return any(saved.row.tune == FULL for saved in cell.run.rows.values())
