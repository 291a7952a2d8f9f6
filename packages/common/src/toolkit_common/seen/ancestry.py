"""What an encoder inherits of the one that it is continued from: whom it has seen, and its past."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolkit_common.backbones.exported import read_description
from toolkit_common.backbones.ids import BackboneId
from toolkit_common.seen.check import trained_folder
from toolkit_common.seen.record import Record, read_seen

TOLD = (
    "method", "data", "data_licence", "data_source", "data_fingerprint", "start", "start_licence",
    "steps", "train",
)  # fmt: skip


@dataclass(frozen=True)
class Ancestry:
    """The exports behind an encoder's first weights.

    Attributes:
        records: Whom they have seen.
        lineage: Of each, the oldest first, how it was trained.
    """

    records: tuple[Record, ...] = ()
    lineage: tuple[Mapping[str, Any], ...] = ()

    def describe(self) -> list[str]:
        """Return a line a generation, for humans."""
        return [
            f"continues an encoder of {step.get('method', 'an unknown method')}, trained on "
            f"{step.get('data', 'unknown data')} (licence: {step.get('data_licence', 'unknown')})"
            for step in self.lineage
        ]


def read_ancestry(parsed: BackboneId) -> Ancestry:
    """Return the ancestry of a backbone whose weights are read; none where it is no export.

    Raises:
        InputError: If the export is damaged.
    """
    folder = trained_folder(parsed)
    if folder is None:
        return Ancestry()
    provenance = read_description(folder).provenance
    own = {key: provenance[key] for key in TOLD if key in provenance}
    return Ancestry(read_seen(folder), (*provenance.get("lineage", ()), own))
