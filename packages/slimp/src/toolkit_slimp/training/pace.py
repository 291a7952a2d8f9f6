"""How fast training goes, and how much of it is waiting for data."""

import time
from collections.abc import Iterable, Iterator

from toolkit_slimp.training.batches import Batch


class Pace:
    """Counts lesions and seconds from one reading to the next."""

    def __init__(self) -> None:
        self._start_()

    def _start_(self) -> None:
        self._since = time.monotonic()
        self._waited = 0.0
        self._lesions = 0

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches, with the time that each one took to come on the clock."""
        source = iter(batches)
        while True:
            asked = time.monotonic()
            batch = next(source, None)
            self._waited += time.monotonic() - asked
            if batch is None:
                return
            self._lesions += len(batch.members.segments)
            yield batch

    def read_(self) -> dict[str, float]:
        """Return `lesions_per_s` and `data_wait` (a share of the time), and start anew."""
        elapsed = max(time.monotonic() - self._since, 1e-9)
        found = {
            "lesions_per_s": self._lesions / elapsed,
            "data_wait": self._waited / elapsed,
        }
        self._start_()
        return found
