"""Optimizers by name, built from well-kept libraries.

`lars` is timm's, set up as the MAE / EP protocol means it: matrices always get the trust ratio
(timm skips it at weight decay 0, which makes it plain SGD), vectors never (docs/traps.md 1).
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn

from toolkit_common.registry import lookup

MOMENTUM = 0.9
TRUST_COEFFICIENT = 0.001

Groups = list[dict[str, Any]]


def parameter_groups(
    parameters: Iterable[nn.Parameter], *, lr: float, weight_decay: float = 0.0
) -> Groups:
    """Group trainable parameters: matrices decay, vectors (biases, norms) do not.

    `lr_scale` keeps the group's learning rate for `toolkit_common.training.schedules.set_lr_`.
    """
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    matrices = [parameter for parameter in trainable if parameter.ndim > 1]
    # Learned queries are none of these, also where there is one (docs/traps.md 22).
    vectors = [parameter for parameter in trainable if parameter.ndim <= 1]
    shared = {"lr": lr, "lr_scale": lr}
    groups: Groups = [
        {"params": matrices, "weight_decay": weight_decay, **shared},
        {"params": vectors, "weight_decay": 0.0, **shared},
    ]
    # `_build_lars` looks at the first of each.
    return [group for group in groups if group["params"]]


def build_optimizer(name: str, groups: Groups) -> torch.optim.Optimizer:
    """Return the optimizer `name` (`lars`, `adamw`, `sgd`) over parameter groups.

    Raises:
        InputError: If the name is unknown.
    """
    return lookup(OPTIMIZERS, name, kind="optimizer")(groups)


def _build_lars(groups: Groups) -> torch.optim.Optimizer:
    from toolkit_common.torchvision_ops import prepare

    prepare()
    from timm.optim import Lars

    for group in groups:
        # A group holds matrices or vectors, never both.
        group["always_adapt"] = group["params"][0].ndim > 1
    # MAE's ratio has no eps; timm's, 1e-8, shows where a layer scale makes gradients as small.
    # Where a norm is 0 timm takes 1 for the ratio, whatever the eps.
    return Lars(groups, momentum=MOMENTUM, trust_coeff=TRUST_COEFFICIENT, eps=0.0)


OPTIMIZERS: dict[str, Callable[[Groups], torch.optim.Optimizer]] = {
    "lars": _build_lars,
    # Fused, as the default goes parameter by parameter on a CPU (docs/traps.md 30).
    "adamw": partial(torch.optim.AdamW, betas=(0.9, 0.999), fused=True),
    "sgd": partial(torch.optim.SGD, momentum=MOMENTUM),
}
