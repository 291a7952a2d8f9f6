"""Many heads on one read of the features, each trained exactly as if alone.

No head's forward, gradient or update touches another's (docs/traps.md 13: no mean over heads), and
every head draws its initial weights from a stream of its own. Heads go forward and backward one
after the other, those that read tokens alike a few at once (`toolkit_probing.heads.together`), so
that a step holds the activations of few.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from torch import Tensor, nn

from toolkit_common.backbones.contract import ImageEncoder
from toolkit_common.features.contract import Features, FeatureSource, LayerFeatures
from toolkit_probing.heads.head import Head, HeadSpec, build_head
from toolkit_probing.heads.inputs import Inputs, is_of_tokens, read_inputs
from toolkit_probing.heads.together import kind_of, logits_together, split_evenly
from toolkit_probing.heads.trainable_encoder import TunedHead

Place = tuple[int, str]  # layer and source
SAMPLE = 2  # rows that show the shapes: batch norm needs two


class HeadBank(nn.Module):
    """The heads of several specs behind one forward pass.

    Args:
        specs: Which heads, all different.
        sample: Features of some images, for the shapes.
        num_classes: Number of classes.
        wrap: Puts a head behind an encoder that is tuned with it; None for heads alone.
    """

    def __init__(
        self,
        specs: Sequence[HeadSpec],
        sample: LayerFeatures,
        *,
        num_classes: int,
        wrap: Callable[[HeadSpec, Head], TunedHead] | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.specs = {spec.key: spec for spec in specs}
        assert len(self.specs) == len(specs), "two heads of one spec"  # a dict keeps the last alone
        self.is_tuned = wrap is not None
        self.heads = nn.ModuleDict()
        for key, spec in self.specs.items():
            head = build_head(spec, sample[spec.layer], num_classes=num_classes)
            self.heads[key] = head if wrap is None else wrap(spec, head)

    def forward(
        self, features: LayerFeatures, keys: Iterable[str] | None = None
    ) -> dict[str, Tensor]:
        """Return the logits `(b, c)` of the heads `keys` (all by default), by key."""
        keys = list(self.specs if keys is None else keys)
        inputs = self.read(features, keys)
        logits: dict[str, Tensor] = {}
        for group in self.groups(keys, inputs):
            logits |= self.logits(group, inputs)
        return logits

    def groups(
        self, keys: Iterable[str], inputs: Mapping[Place, Inputs], *, micro_batch: int | None = None
    ) -> list[list[str]]:
        """Return the heads `keys` in groups that go forward and backward at once."""
        alike: dict[Hashable, list[str]] = {}
        for key in keys:
            place, kind = self.specs[key].place, None
            if not self.is_tuned and micro_batch is None:  # which is there to hold little
                kind = kind_of(self.head(key), inputs[place].main)
            alike.setdefault(key if kind is None else (place, kind), []).append(key)
        return [group for members in alike.values() for group in split_evenly(members)]

    def logits(
        self,
        group: Sequence[str],
        inputs: Mapping[Place, Inputs],
        *,
        micro_batch: int | None = None,
    ) -> dict[str, Tensor]:
        """Return the logits `(b, c)` of the heads of a group of `groups`, by key."""
        read = inputs[self.specs[group[0]].place]
        if len(group) == 1:
            return {group[0]: self.heads[group[0]](*read, micro_batch=micro_batch)}
        heads = [self.head(key) for key in group]
        return dict(zip(group, logits_together(heads, read), strict=True))

    def read(self, features: LayerFeatures, keys: Iterable[str]) -> dict[Place, Inputs]:
        """Return what the heads `keys` read, each place once."""
        places = dict.fromkeys(self.specs[key].place for key in keys)
        return {place: read_inputs(features[place[0]], place[1]) for place in places}

    def reads_tokens(self, keys: Iterable[str] | None = None) -> bool:
        """Whether any of the heads `keys` (all by default) reads patch tokens."""
        return any(is_of_tokens(self.specs[key].source) for key in keys or self.specs)

    def head(self, key: str) -> Head:
        """Return one head, without the encoder that is tuned with it."""
        head = self.heads[key]
        return head.head if isinstance(head, TunedHead) else cast(Head, head)

    def pooled(self, key: str, read: Inputs) -> Tensor:
        """Return what the norm and the classifier of a head read, `(b, o)`."""
        pooled: Tensor = cast(Any, self.heads[key]).pooled(*read)
        return pooled

    def encoder(self, key: str) -> ImageEncoder | None:
        """Return the encoder that is tuned with a head, if there is one."""
        head = self.heads[key]
        return head.encoder if isinstance(head, TunedHead) else None


def features_to(features: LayerFeatures, device: Any) -> dict[int, Features]:
    """Move a batch of features to a device."""
    return {layer: kept.to(device) for layer, kept in features.items()}


def sample_of(source: FeatureSource, specs: Sequence[HeadSpec] | None = None) -> LayerFeatures:
    """Return the features of a few rows, from whose shapes heads (those of `specs`) are built.

    On the CPU, where heads are built and counted: an encoder that runs online gives them elsewhere.
    """
    patches = specs is None or any(is_of_tokens(spec.source) for spec in specs)
    return features_to(next(iter(source.iterate([np.arange(SAMPLE)], patches=patches))), "cpu")
