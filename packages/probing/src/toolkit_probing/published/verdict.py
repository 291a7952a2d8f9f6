"""Whether a published figure came out again: within a tolerance, by a head of the same size."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console

from toolkit_common.console import Column, print_columns
from toolkit_probing.published.reproduction import Reproduction
from toolkit_probing.results.contents import Results
from toolkit_probing.results.names import method_heading
from toolkit_probing.results.rows import Row

NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class Judgement:
    """One figure beside the published one, in percent.

    Attributes:
        method: Of which method.
        published: The published one.
        measured: Ours; None if undefined.
        interval: Its 95 % interval over test images, None without one.
        parameters: That were trained here.
        published_parameters: And there.
        verdict: PASS, FAIL or `not judged`.
        why: Why it failed, or is not judged.
    """

    method: str
    published: float
    measured: float | None
    interval: tuple[float, float] | None
    parameters: int
    published_parameters: int
    verdict: str
    why: str = ""

    @property
    def difference(self) -> float | None:
        """How far ours lies above, in points."""
        return None if self.measured is None else self.measured - self.published


@dataclass(frozen=True)
class Verdict:
    """All figures of a row.

    Attributes:
        judgements: One a method.
        tolerance: Points.
        protocol: Under which protocol ours were measured.
    """

    judgements: Sequence[Judgement]
    tolerance: float
    protocol: str

    @property
    def has_passed(self) -> bool:
        """Whether no figure failed."""
        return all(item.verdict != "FAIL" for item in self.judgements)

    @property
    def line(self) -> str:
        """The verdict in one line."""
        named = [(method_heading(item.method), item) for item in self.judgements]
        failed = [f"{name} {item.why}" for name, item in named if item.verdict == "FAIL"]
        if failed:
            return f"FAIL: {'; '.join(failed)}"
        judged = [name for name, item in named if item.verdict == "PASS"]
        return f"PASS: {' and '.join(judged)} within {self.tolerance:g} points of the published"

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "passed": self.has_passed,
            "verdict": self.line,
            "tolerance": self.tolerance,
            "protocol": self.protocol,
            "figures": [
                {**asdict(item), "difference": item.difference} for item in self.judgements
            ],
        }


def judge(results: Results, reproduction: Reproduction, *, tolerance: float) -> Verdict:
    """Hold a run's figures against the published ones.

    Args:
        results: Of the run.
        reproduction: The row.
        tolerance: Points of top-1 accuracy.
    """
    rows = {row.method: row for row in results.rows}
    problem = _problem(results, reproduction)
    judgements = [
        _judgement(rows[method], reproduction, tolerance=tolerance, problem=problem)
        for method in reproduction.methods
    ]
    return Verdict(judgements, tolerance, results.protocol.line)


def show_verdict(verdict: Verdict, reproduction: Reproduction, out: Console) -> None:
    """Print a table of figures and the verdict, which is the last line."""
    row, published = reproduction.row, reproduction.published
    out.print(
        f"{reproduction.name}: {row.title} on {published.data.title}, top-1 in percent, "
        f"{verdict.protocol}",
        soft_wrap=True,
    )
    out.print(f"published: {published.citation}\n", soft_wrap=True)
    items = verdict.judgements
    print_columns(
        out,
        [Column("method", [method_heading(item.method) for item in items])],
        [
            Column("published", [f"{item.published:.2f}" for item in items]),
            Column("here", [_measured(item) for item in items]),
            Column("difference", [_signed(item.difference) for item in items]),
            Column("parameters", [f"{item.parameters:,}" for item in items]),
            Column("verdict", [item.verdict for item in items], justify="left"),
        ],
    )
    out.print()
    for item in items:
        if item.verdict == NOT_JUDGED:
            out.print(f"{method_heading(item.method)} is {NOT_JUDGED}: {item.why}", soft_wrap=True)
    out.print(verdict.line, soft_wrap=True)


def _problem(results: Results, reproduction: Reproduction) -> str:
    """Return why no figure of a run is the row's; nothing where they may be."""
    if results.backbone.random_weights:
        return "is of random weights"
    data = results.data
    differs = reproduction.published.data.differs_in(
        classes=len(data.classes), train=data.sizes["train"], test=data.sizes["test"]
    )
    return f"is of other data: {differs}" if differs else ""


def _judgement(
    row: Row, reproduction: Reproduction, *, tolerance: float, problem: str
) -> Judgement:
    estimate, published = row.metrics["top1"], reproduction.row.top1(row.method)
    expected = reproduction.row.parameters(row.method)
    measured = None if estimate.mean is None else 100 * estimate.mean
    verdict, why = "PASS", ""
    if row.method not in reproduction.published.judged:
        verdict, why = NOT_JUDGED, _why_not_judged(reproduction)
    elif problem or measured is None:
        verdict, why = "FAIL", problem or "is undefined: the head diverged"
    elif row.num_parameters != expected:
        verdict = "FAIL"
        why = f"has {row.num_parameters:,} parameters, the published one {expected:,}"
    # A hundredth is what published figures are rounded to.
    elif round(abs(measured - published), 2) > tolerance:
        verdict = "FAIL"
        why = f"is {measured - published:+.2f} points off, more than {tolerance:g}"
    ci = estimate.ci
    return Judgement(
        method=row.method,
        published=published,
        measured=measured,
        interval=None if ci is None else (100 * ci[0], 100 * ci[1]),
        parameters=row.num_parameters,
        published_parameters=expected,
        verdict=verdict,
        why=why,
    )


def _why_not_judged(reproduction: Reproduction) -> str:
    notes = reproduction.published.notes
    return notes[0] if notes else "the file of rows says so"


def _measured(item: Judgement) -> str:
    if item.measured is None:
        return "undefined"
    low_high = "" if item.interval is None else " [{:.1f}, {:.1f}]".format(*item.interval)
    return f"{item.measured:.2f}{low_high}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"
