"""Rows of the table of claims, whose verdicts follow from their findings; of `ep_claims`."""

from collections.abc import Mapping
from dataclasses import dataclass

from lib.claims.evidence import ABSENT, FAILS, HOLDS, OPEN, Finding, verdict_of_all


@dataclass(frozen=True)
class Claim:
    """A row of the table of claims."""

    claim: str
    paper: str
    run: str
    figure: str
    verdict: str

    def to_row(self) -> dict[str, str]:
        """Return its cells by column."""
        return {
            "claim": self.claim,
            "the paper": self.paper,
            "run here": self.run,
            "points [95 %]": self.figure,
            "verdict": self.verdict,
        }


def of_one(claim: str, paper: str, run: str, finding: Finding) -> Claim:
    """Return a claim that a figure is above 0."""
    return Claim(claim, paper, run, finding.text, finding.verdict)


def of_all(claim: str, paper: str, run: str, findings: Mapping[str, Finding]) -> Claim:
    """Return a claim that every figure is above 0, with the smallest one and how many are what."""
    if not findings:
        return Claim(claim, paper, "no such rows", "-", ABSENT)
    verdicts = [finding.verdict for finding in findings.values()]
    name, smallest = min(findings.items(), key=lambda item: item[1].value)
    counts = (
        f"{verdicts.count(HOLDS)} above, {verdicts.count(FAILS)} below, {verdicts.count(OPEN)} open"
    )
    figure = f"least {smallest.text} ({name}); {counts}"
    return Claim(claim, paper, run, figure, verdict_of_all(findings.values()))


def not_run(claim: str, what: str, *, paper: str = "-") -> Claim:
    """Return the row of a claim of which a study, or a part of it, has not been run."""
    return Claim(claim, paper, f"studies/{what}", "-", ABSENT)
