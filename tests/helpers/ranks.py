"""Runs a function on several gloo processes of this machine, as under torchrun."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from torch.multiprocessing import start_processes

from toolkit_common.training.distributed import build_accelerator

T = TypeVar("T")


def run_ranks(function: Callable[[Accelerator], T], *, num_ranks: int = 2) -> list[T]:
    """Return what `function(accelerator)` returns on each rank; what one raises is raised here.

    The processes are forks, which take 0.2 s instead of 10 s and may run a closure. This is safe
    because conftest.py keeps torch at one thread (docs/stack.md).
    """
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
        probe.close()
        arguments = (function, num_ranks, port, Path(folder))
        start_processes(_work, arguments, nprocs=num_ranks, start_method="fork", daemon=True)
        paths = [Path(folder) / str(rank) for rank in range(num_ranks)]
        return [torch.load(path, weights_only=False) for path in paths]


def run_toolkit(*words: object, num_processes: int) -> None:
    """Run `toolkit WORDS --num-processes N` as a user does; its output is shown if it fails."""
    command = [sys.executable, "-m", "toolkit_common", *map(str, words)]
    command += ["--num-processes", str(num_processes)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, (done.returncode, done.stderr)


def _work(
    rank: int, function: Callable[[Accelerator], T], num_ranks: int, port: int, folder: Path
) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(num_ranks),
        "LOCAL_WORLD_SIZE": str(num_ranks),
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": str(port),
    }
    AcceleratorState._reset_state()  # that of a parent that computed by itself before
    PartialState._reset_state()
    torch.save(function(build_accelerator(device="cpu")), folder / str(rank))
    dist.barrier()
    dist.destroy_process_group()
