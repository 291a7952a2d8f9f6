"""Learning-rate schedules as pure functions of the step: nothing to save, nothing to lose."""

import math

import torch


def warmup_cosine(step: int, *, total_steps: int, warmup_steps: int) -> float:
    """Return the factor of the base learning rate at `step` (0-based).

    Linear from 0 over `warmup_steps`, then half a cosine to 0 at `total_steps`, as MAE computes it
    on the fractional epoch (He et al. 2022; Loshchilov and Hutter 2017, eq. 5).
    """
    if step < warmup_steps:
        return step / warmup_steps
    rest = max(1, total_steps - warmup_steps)  # a warm-up as long as the run
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup_steps) / rest))


def set_lr_(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's learning rate to `factor` times its own `lr_scale`."""
    for group in optimizer.param_groups:
        group["lr"] = factor * group["lr_scale"]
