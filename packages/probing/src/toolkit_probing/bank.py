"""Many heads on one read of the features, each trained exactly as if alone.

Losses are summed over heads and averaged over the batch (specs/traps.md 13), no head's forward,
gradient or update touches another's, and every head draws its initial weights from a stream of
its own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit_common.features.base import Features, LayerFeatures
from toolkit_probing.head import Head, HeadSpec, build_head, read_source


class HeadBank(nn.Module):
    """The heads of several specs behind one forward pass.

    Args:
        specs: Which heads, all different.
        sample: Features of some images, for the shapes.
        num_classes: Number of classes.
    """

    def __init__(
        self, specs: Sequence[HeadSpec], sample: LayerFeatures, *, num_classes: int
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.specs = {spec.key: spec for spec in specs}
        assert len(self.specs) == len(specs), "two heads of one spec"
        self.heads = nn.ModuleDict(
            {
                key: build_head(spec, sample[spec.layer], num_classes=num_classes)
                for key, spec in self.specs.items()
            }
        )

    def forward(self, features: LayerFeatures) -> dict[str, Tensor]:
        """Return every head's logits `(b, c)` by its key."""
        inputs: dict[tuple[int, str], Tensor] = {}
        logits = {}
        for key, spec in self.specs.items():
            place = (spec.layer, spec.source)
            if place not in inputs:
                inputs[place] = read_source(features[spec.layer], spec.source)
            logits[key] = self.heads[key](inputs[place])
        return logits

    def head(self, key: str) -> Head:
        """Return one head."""
        head = self.heads[key]
        assert isinstance(head, Head)
        return head


def bank_loss(logits: Mapping[str, Tensor], targets: Tensor) -> Tensor:
    """Return the sum over heads of the mean cross-entropy over the batch, as a scalar."""
    losses = [F.cross_entropy(values.float(), targets) for values in logits.values()]
    return torch.stack(losses).sum()


def features_to(features: LayerFeatures, device: Any) -> dict[int, Features]:
    """Move a batch of features to a device."""
    return {layer: kept.to(device) for layer, kept in features.items()}
