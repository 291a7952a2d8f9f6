"""LARS as it is written, beside which ours is put."""

from collections.abc import Callable, Iterable

import torch
from torch import nn


def is_matrix(parameter: nn.Parameter) -> bool:
    return parameter.ndim > 1


class MaeLars(torch.optim.Optimizer):
    """LARS written from facebookresearch/mae, commit efb2a80, `util/lars.py`, at weight decay 0."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        adapts: Callable[[nn.Parameter], bool] = is_matrix,
    ) -> None:
        super().__init__(parameters, {"lr": lr})
        self.adapts = adapts

    @torch.no_grad()
    def step(self) -> None:
        for parameter in self.param_groups[0]["params"]:
            update = parameter.grad
            if self.adapts(parameter):
                norms = parameter.norm(), update.norm()
                update = update * (0.001 * norms[0] / norms[1] if min(norms) > 0 else 1.0)
            state = self.state[parameter]
            state["mu"] = 0.9 * state.get("mu", 0.0) + update
            parameter.add_(state["mu"], alpha=-self.param_groups[0]["lr"])
