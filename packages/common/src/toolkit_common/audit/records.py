"""Verdicts of audits that were made, kept so that a page of a probe can say what one found.

They lie in the cache under the fingerprint of the data: what has changed since has no verdict. Of
findings only kinds are kept, no sentence, as those name rows; pages are passed on.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from toolkit_common.audit.audit import Audit
from toolkit_common.console import console
from toolkit_common.foreign.values import checked
from toolkit_common.runs.files import cache_folder, read_json, write_json

FOLDER = "audits"  # in the cache
SHARED = "shared with "  # begins a kind that names another data set or an encoder, by its path
MOST = 50  # verdicts of one data set


@dataclass(frozen=True, kw_only=True)
class AuditRecord:
    """What an audit found.

    Attributes:
        made: Day, in ISO form.
        label: That columns were scored against; None without.
        splits: Where the splits are from.
        has_images: Whether images were decoded.
        leaks: Kinds of the findings that are leaks.
        warnings: Kinds of those that are warnings.
    """

    made: str
    label: str | None
    splits: str
    has_images: bool
    leaks: Sequence[str]
    warnings: Sequence[str]

    @classmethod
    def of(cls, audit: Audit) -> "AuditRecord":
        """Sum an audit up."""
        kinds = {
            severity: [_nameless(item.kind) for item in audit.findings if item.severity == severity]
            for severity in ("leak", "warning")
        }
        return cls(
            made=date.today().isoformat(),
            label=None if audit.labels is None else audit.labels.name,
            splits=audit.splits,
            has_images=audit.has_images,
            leaks=kinds["leak"],
            warnings=kinds["warning"],
        )

    @property
    def key(self) -> tuple[str | None, str, bool]:
        """What tells it from other audits of the same data."""
        return self.label, self.splits, self.has_images


def record_audit(audit: Audit) -> None:
    """Keep the verdict of an audit; where the cache cannot be written one line says so."""
    path, record = _place(audit.data.fingerprint()), AuditRecord.of(audit)
    others = [item for item in _read(path) if item.key != record.key]
    try:
        write_json(path, [asdict(item) for item in [record, *others][:MOST]])
    except OSError as error:
        console.print(f"the verdict is not kept for pages of probes: {error}", markup=False)


def find_audit(fingerprint: str, *, label: str, splits: str) -> AuditRecord | None:
    """Return what the audit found that is nearest to a run; None if there was none.

    Args:
        fingerprint: Of the run's data.
        label: What it predicts.
        splits: Where its splits are from.
    """
    return max(
        _read(_place(fingerprint)),
        key=lambda item: (item.splits == splits, item.label == label, item.has_images),
        default=None,
    )


def _place(fingerprint: str) -> Path:
    return cache_folder() / FOLDER / f"{fingerprint[:32]}.json"


def _read(path: Path) -> list[AuditRecord]:
    try:
        records: list[AuditRecord] = checked(list[AuditRecord], read_json(path), path)
    except (OSError, ValueError):  # none, or of another version: as good as none
        return []
    return records


def _nameless(kind: str) -> str:
    return "shared with other data" if kind.startswith(SHARED) else kind
