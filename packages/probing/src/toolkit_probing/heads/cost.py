"""What a module costs: the floating-point operations of its forward pass."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def forward_flops(module: nn.Module, *inputs: Tensor | None) -> int:
    """Return the operations of one forward pass: two a multiply-add of its matrix products.

    Args:
        module: What is counted, as it is in evaluation mode.
        *inputs: What it reads; moved to where its parameters are.
    """
    # A frozen copy: the counter's hooks stumble over parameters that want gradients.
    frozen = copy.deepcopy(module).eval().requires_grad_(False)
    device = next(frozen.parameters()).device
    with FlopCounterMode(display=False, custom_mapping=_onednn()) as counter:
        frozen(*(None if item is None else item.to(device) for item in inputs))
    return counter.get_total_flops()


def _onednn() -> dict[Any, Any]:
    """Torch's counter does not know the operator that `probes.gemm` calls."""
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return {}
    return {torch.ops.mkldnn._linear_pointwise: _linear_flops}


def _linear_flops(left: Any, right: Any, *_: Any, **__: Any) -> int:
    # By shapes: the right one lies as `F.linear` has it, `(c, k)`.
    return 2 * int(left[0]) * int(left[1]) * int(right[0])
