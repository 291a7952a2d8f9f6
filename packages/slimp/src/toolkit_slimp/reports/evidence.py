"""Figures of how a run went: losses, recall against chance, spread, gradients; each yields panels.

Values are those of metrics.jsonl; of a long run every so many lines are drawn.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from toolkit_common.pages import charts
from toolkit_slimp.reports.recalls import LEVELS, SEARCHES, Recall
from toolkit_slimp.settings import SlimpSettings
from toolkit_slimp.watching.chance import SUFFIX
from toolkit_slimp.watching.spread import MAX_UNIFORMITY, MIN_EFFECTIVE_RANK

MOST_POINTS = 240  # of a line: one or two a pixel
FEW_POINTS = 60  # of all lines of a panel
TERMS = {
    "loss": "Whole loss", "lesion_loss": "Lesion loss (inner)",
    "patient_loss": "Patient loss (outer)", "image_loss": "Image term (SimCLR)",
}  # fmt: skip
TRAIN, HELD_OUT = "training batches", "held out"

CHANCE = (
    "Dashed: chance. More rows are compared where patients are held out than in a batch, so that "
    "losses are held against their own chance, not against each other."
)

Log = Sequence[Mapping[str, Any]]


def losses(log: Log) -> Iterator[Markup]:
    """Yield a panel a term: of training batches and of held-out patients, with their chance."""
    for term in _terms(log):
        title = TERMS[term]
        drawn = {TRAIN: term, HELD_OUT: f"val_{term}"}
        rows, beside = _lines(log, drawn), _lines(log, drawn, suffix=SUFFIX)
        if rows:
            spec = charts.lines(
                rows,
                x=_epochs(rows),
                y={"title": "loss"},
                title=title,
                beside=beside,
                points=_few(rows),
            )
            caption = CHANCE if beside and term == "loss" else ""
            yield charts.figure(spec, label=f"{title} by epoch", caption=caption)


def recall_now(values: Sequence[Recall], *, people: str) -> Markup | None:
    """Return recall of the kept state with its intervals, beside its chance level."""
    if not values:
        return None
    rows = []
    for item in values:
        low, high = item.ci or (None, None)
        group = {"group": f"{item.search}, at {item.k}"}
        rows += [
            {**group, "name": "held out", "mean": item.value, "low": low, "high": high},
            {**group, "name": "chance", "mean": item.chance, "low": None, "high": None},
        ]
    text = ", ".join(f"{row['group']} {row['name']} {row['mean']:.3f}" for row in rows)
    counts = ", ".join(dict.fromkeys(_counted(item) for item in values))
    return charts.figure(
        charts.dots(rows, x="recall"),
        label=f"Recall of the kept state: {text}",
        caption=f"The state that is kept, among {counts}; lines: 95 % intervals by bootstrap over "
        f"{people}. Who has identical metadata is a match.",
    )


def recall_by_epoch(log: Log) -> Iterator[Markup]:
    """Yield a panel a level: recall of held-out patients over epochs, and of chance."""
    for level in LEVELS:
        drawn = {f"at {k}": f"val_{level}_recall_at_{k}" for k in (5, 1)}
        rows, beside = _lines(log, drawn), _lines(log, drawn, suffix=SUFFIX)
        if rows:
            spec = charts.lines(
                rows, x=_epochs(rows), y={"title": "recall", "scale": {"zero": True, "padding": 6}},
                title=f"{level.title()}: {SEARCHES[level][0]}", beside=beside,
                points=_few(rows),
            )  # fmt: skip
            label = f"Recall of held-out rows at the {level} level by epoch"
            yield charts.figure(spec, label=label, caption="Held out; dashed: chance.")


def spread(log: Log, *, note: str = "") -> Iterator[Markup]:
    """Yield panels of effective rank, uniformity and alignment, with where a collapse begins.

    Args:
        log: Lines of metrics.jsonl.
        note: What else there is to say of the spread, below the first panel.
    """
    panels = (
        ("effective_rank", "Effective rank", MIN_EFFECTIVE_RANK, "below it"),
        ("uniformity", "Uniformity (less is wider)", MAX_UNIFORMITY, "above it"),
        ("alignment", "Alignment of pairs (less is nearer)", None, ""),
    )
    for name, title, limit, where in panels:
        rows = _lines(log, {TRAIN: name, HELD_OUT: f"val_{name}"})
        if rows:
            spec = charts.lines(
                rows, x=_epochs(rows), y={"title": title.partition(" (")[0].lower()}, title=title,
                beside=_level(rows, limit, "collapsed"), points=_few(rows),
            )  # fmt: skip
            caption = f"Dashed: {where} embeddings count as collapsed. " if where else ""
            caption += note if name == panels[0][0] else ""
            yield charts.figure(spec, label=f"{title} by epoch", caption=caption)


def gradients(log: Log, settings: SlimpSettings) -> Markup | None:
    """Return the gradient's norm before it is clipped."""
    rows = _lines(log, {"gradient norm": "grad_norm"})
    if not rows:
        return None
    clipped = sum(row["y"] > settings.clip_grad for row in rows) / len(rows)
    spec = charts.lines(
        rows, x=_epochs(rows), y={"title": "norm", "scale": {"type": "log"}}, title="Gradient norm",
        beside=_level(rows, settings.clip_grad, "clipped to"), points=_few(rows),
    )  # fmt: skip
    caption = (
        f"Before it is clipped to {settings.clip_grad:g} (dashed), which {clipped:.0%} of the "
        "steps that are drawn were."
    )
    return charts.figure(spec, label="Gradient norm by epoch", caption=caption)


def _counted(item: Recall) -> str:
    return f"{item.num_rows} {'images' if item.level == 'lesion' else 'patients'}"


def _lines(log: Log, names: Mapping[str, str], *, suffix: str = "") -> list[dict[str, Any]]:
    """Return points of values by their name in a legend; what is no number is left out."""
    rows: list[dict[str, Any]] = []
    for shown, name in names.items():
        points = [(line.get("epoch", line.get("step")), line.get(name + suffix)) for line in log]
        known = [point for point in points if all(type(value) in (int, float) for value in point)]
        step = -(-len(known) // MOST_POINTS) if known else 1
        # From the end: the last state is always drawn.
        rows += [{"name": shown, "x": x, "y": y} for x, y in known[::-1][::step][::-1]]
    return rows


def _epochs(rows: Log) -> charts.Spec:
    axis = charts.whole_numbers("epoch", [row["x"] for row in rows])
    return {**axis, "scale": {"zero": False, "padding": 6}}


def _few(rows: Log) -> bool:
    """Whether points are to be marked: a line of one is none."""
    return len(rows) <= FEW_POINTS


def _level(rows: Log, value: float | None, name: str) -> list[dict[str, Any]]:
    if value is None:
        return []
    ends = (min(row["x"] for row in rows), max(row["x"] for row in rows))
    return [{"name": name, "x": at, "y": value} for at in ends]


def _terms(log: Log) -> list[str]:
    """Return the whole loss and its terms; of a single term the whole loss alone, which it is."""
    own = [name for name in TERMS if name != "loss" and any(name in line for line in log)]
    return ["loss"] if len(own) == 1 else ["loss", *own]
