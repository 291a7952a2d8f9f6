"""One seed, a separate random stream for each purpose.

A stream is a pure function of the seed and the names of its purpose (`"split"`, `"epoch", 3`), so
that nothing random needs to be saved for a resumed run to continue to the same result, and adding
one random draw somewhere moves no other.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

STREAMS = RLock()  # the global streams, while a thread draws from them by a seed of its own
if hasattr(os, "register_at_fork"):  # or a worker that is forked meanwhile would wait for ever
    os.register_at_fork(
        before=STREAMS.acquire, after_in_parent=STREAMS.release, after_in_child=STREAMS.release
    )


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Return a 63-bit seed that depends on `seed` and every part of `purpose`."""
    text = "/".join(map(str, (seed, *purpose)))  # a separator, or (1, 23) would be (12, 3)
    # Not hash(): that of a string is another in each process.
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int) -> "torch.Generator":
    """Return a fresh CPU generator for one purpose."""
    import torch

    return torch.Generator().manual_seed(derive_seed(seed, *purpose))


def seed_everything(seed: int, *purpose: str | int) -> None:
    """Seed the global streams of Python, NumPy and torch (all devices) for one purpose."""
    import random

    import numpy as np
    import torch

    value = derive_seed(seed, *purpose)
    random.seed(value)
    np.random.seed(value % 2**32)  # noqa: NPY002 (libraries below still read the global stream)
    torch.manual_seed(value)


@contextmanager
def seeded(seed: int, *purpose: str | int) -> Iterator[None]:
    """Seed the global streams for what draws from torch's own, which is then as it was.

    One thread at a time: the streams are the process's, and a fit in another thread would draw from
    them in between.
    """
    import torch

    with STREAMS, torch.random.fork_rng(devices=[]):
        seed_everything(seed, *purpose)
        yield


@contextmanager
def untouched_streams() -> Iterator[None]:
    """Leave the global streams of Python, NumPy and torch (all devices) as they were.

    For what seeds them on the way (building a model) and is called by others.
    """
    import random

    import numpy as np
    import torch

    with STREAMS, torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 (as above)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002
