"""What a run is made with: versions, the code's commit, the command, the machine."""

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RECORDED_PACKAGES = (
    "toolkit-common", "toolkit-probing", "toolkit-slimp", "torch", "torchvision", "timm",
    "open_clip_torch", "peft", "datasets", "accelerate", "numpy", "scikit-learn", "pillow",
)  # fmt: skip


def environment() -> dict[str, Any]:
    """Describe the software, the machine, the code's commit and the command."""
    import torch

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "versions": {"python": platform.python_version(), **_installed_versions()},
        "commit": _git_commit(),
        "command": ["toolkit", *sys.argv[1:]],
        "machine": {
            "platform": platform.platform(),
            "cpu": cpu_name(),
            "num_threads": torch.get_num_threads(),
            "gpus": gpus,
        },
    }


def cpu_name() -> str:
    """Return the processor's model name as the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _installed_versions() -> dict[str, str]:
    versions = {}
    for name in RECORDED_PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _git_commit() -> str | None:
    """Return the commit of the checkout that tracks this file; another may merely surround it."""
    file = Path(__file__)
    git = ["git", "-C", str(file.parent)]
    tracked = [*git, "ls-files", "--error-unmatch", file.name]
    describe = [*git, "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        subprocess.run(tracked, capture_output=True, check=True)
        done = subprocess.run(describe, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
