"""The contract every image encoder meets, and the frozen backbone that probing reads.

Shapes: b batch, n patch tokens, p prefix tokens (class token first, then registers), d width,
e pooled width, (gh, gw) patch grid with n = gh * gw, row by row.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from toolkit_common.backbones.named.resolve import short_name
from toolkit_common.errors import InputError
from toolkit_common.images.batches import EncoderTransform, Pictures, as_batches
from toolkit_common.images.transforms import Preprocess
from toolkit_common.printable import counted

TokenSource = Literal["patches", "all"]
VectorSource = Literal["cls", "mean", "pooled"]


@dataclass(frozen=True)
class Tokens:
    """What an encoder says about a batch of images at one layer.

    `raw` holds prefix and patches before the encoder's final norm, where it has one.
    """

    patches: Float[Tensor, "b n d"]
    prefix: Float[Tensor, "b p d"]
    grid: tuple[int, int]
    pooled: Float[Tensor, "b e"] | None = None
    raw: Float[Tensor, "b pn d"] | None = None


@dataclass(frozen=True)
class EncoderFacts:
    """What can be known about an encoder without its weights.

    `is_convolutional` says that it works on feature maps, which run faster channels-last; `depth`
    counts what can be read layer-wise (blocks, or stages of a hierarchical encoder);
    `embed_dim` and `grid` are those of the last layer; `pooled_dim` is None where the encoder has
    no pooled output of its own; `has_final_norm` says that tokens can be read before it.
    """

    architecture: str
    embed_dim: int
    grid: tuple[int, int]
    num_prefix_tokens: int
    has_class_token: bool
    has_attention_pool: bool
    pools_class_token: bool
    pooled_dim: int | None
    depth: int
    is_convolutional: bool = False
    has_final_norm: bool = False


@dataclass(frozen=True)
class Card:
    """How probes read an encoder, and why.

    Raises:
        InputError: If it names what is not to be read; it may come from a file.
    """

    linear: VectorSource
    ep: TokenSource
    objective: str
    reason: str

    def __post_init__(self) -> None:
        for value, known in ((self.linear, VectorSource), (self.ep, TokenSource)):
            if value not in get_args(known):
                raise InputError(f"a card reads one of {get_args(known)}, got {value!r}")


@dataclass(frozen=True)
class Receipt:
    """What was loaded into an encoder.

    Attributes:
        source: Where the weights came from (`random` without any).
        loaded: Share of the parameters and buffers that were loaded, in [0, 1].
        missing: Names of the encoder's that the weights did not hold.
        unexpected: Names in the weights that the encoder does not have (classifier, decoder).
        resized: Tensors that were resampled, with both sizes (position tables).
        used: Share of the file's numbers that went into the encoder, in [0, 1].
        left_over: What the rest is known to be, with the groups of its names.
        notes: What was chosen and whose word is taken, for humans.
    """

    source: str
    loaded: float
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    resized: tuple[str, ...] = ()
    used: float = 1.0
    left_over: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_random(self) -> bool:
        """Whether nothing was loaded."""
        return self.loaded == 0.0

    def describe(self) -> list[str]:
        """Return lines for humans."""
        used = f", {self.used:.1%} of the file used" if self.used < 1.0 else ""
        loaded = "none loaded" if self.is_random else f"{self.loaded:.1%} loaded"
        lines = [f"weights: {self.source}, {loaded}{used}"]
        lines += [f"  resampled {', '.join(self.resized)}"] if self.resized else []
        lines += [f"  left over: {'; '.join(self.left_over)}"] if self.left_over else []
        return lines + [f"  {note}" for note in self.notes]


class ImageEncoder(nn.Module, ABC):
    """An image encoder that can be trained; every source (timm, open_clip, ...) has one.

    `model` is the library's own module, whose state dict is what other tools can load.
    """

    model: nn.Module
    facts: EncoderFacts
    preprocess: Preprocess

    @abstractmethod
    def forward_layers(
        self, images: Float[Tensor, "b 3 h w"], layers: Sequence[int], *, pooled: bool = False
    ) -> list[Tokens]:
        """Encode images and read the given layers, counted from 1 to `facts.depth`.

        Args:
            images: Normalised images (see `preprocess`).
            layers: Which layers to read, ascending.
            pooled: Whether to compute the encoder's own pooled output (with the last layer only).

        Returns:
            One `Tokens` a layer.
        """

    @override
    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Tokens:
        return self.forward_layers(images, (self.facts.depth,))[0]


@dataclass(frozen=True)
class BackboneInfo:
    """Everything about a backbone but its weights, as it goes into results.

    `id` builds it again and names no alias; one that stood for it is kept in its `name=`.
    """

    id: str
    facts: EncoderFacts
    preprocess: Preprocess
    card: Card
    receipt: Receipt
    layers: tuple[int, ...]
    provenance: dict[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is called where it is shown: its short name, or its id."""
        return short_name(self.id)

    def describe(self) -> list[str]:
        """Return lines for humans: shape, receipt, input, card."""
        facts, receipt, card = self.facts, self.receipt, self.card
        known_as = "" if self.name == self.id else f"{self.name} = "
        return [
            f"backbone: {known_as}{self.id}, {facts.embed_dim} wide, "
            f"grid {facts.grid[0]} x {facts.grid[1]}, "
            f"{counted(facts.num_prefix_tokens, 'prefix token')}",
            *receipt.describe(),
            f"input: {self.preprocess.describe()}",
            f"card: linear and knn read {card.linear}, EP reads {card.ep} ({card.reason}; "
            f"objective: {card.objective})",
        ]


class Backbone(nn.Module):
    """A frozen encoder: in eval mode, without gradients, and it stays so.

    `train()` has no effect, so that no outer training loop can switch on stochastic depth, batch
    statistics or augmented position tables (which the EP reference does, docs/encoders.md).

    Shape:
        images `(b, 3, h, w)`, normalised -> `Tokens`.
    """

    def __init__(self, encoder: ImageEncoder, info: BackboneInfo) -> None:
        super().__init__()
        # Frozen both ways: eval mode for norms and dropout, no gradients for memory.
        self.encoder = encoder.requires_grad_(requires_grad=False).eval()
        self.info = info
        self._fingerprint: str | None = None
        super().train(mode=False)

    @override
    def train(self, mode: bool = True) -> "Backbone":
        del mode
        return self

    @override
    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Tokens:
        return self.forward_layers(images)[-1]

    def forward_layers(
        self, images: Float[Tensor, "b 3 h w"], *, pooled: bool = False
    ) -> list[Tokens]:
        """Encode images and return one `Tokens` for each of `info.layers`."""
        # Nothing of it is ever differentiated, and no version counters are kept.
        with torch.inference_mode():
            return self.encoder.forward_layers(images, self.info.layers, pooled=pooled)

    @property
    def transform(self) -> EncoderTransform:
        """What makes an image (PIL, file or array) the normalised tensor that the encoder takes."""
        return EncoderTransform(self.info.preprocess)

    def tokens(self, images: Pictures, *, pooled: bool = False) -> Tokens:
        """Encode images as they are, in batches; the last of `info.layers`, as plain tensors.

        Args:
            images: One image or several (PIL, files, uint8 arrays), or a tensor: see `as_batches`.
            pooled: Whether to compute the encoder's own pooled output, where it has one.

        Raises:
            InputError: If an image does not decode, or a tensor has not the encoder's size.
        """
        device = next(self.encoder.parameters()).device
        return join_tokens(
            [
                self.forward_layers(batch.to(device), pooled=pooled)[-1]
                for batch in as_batches(images, self.info.preprocess)
            ]
        )

    def fingerprint(self) -> str:
        """Return a hash of the weights: equal exactly for encoders that compute the same.

        Computed once: the weights are frozen.
        """
        if self._fingerprint is None:
            self._fingerprint = hash_weights(self.encoder)
        return self._fingerprint


def join_tokens(parts: Sequence[Tokens]) -> Tokens:
    """Return the tokens of several batches as those of one.

    Copies: tensors made in inference mode cannot be saved for the backward pass of a head.
    """

    def join(name: str) -> Tensor | None:
        tensors = [getattr(part, name) for part in parts]
        return None if tensors[0] is None else torch.cat(tensors)

    patches, prefix = join("patches"), join("prefix")
    assert patches is not None
    assert prefix is not None
    return Tokens(patches, prefix, parts[0].grid, join("pooled"), join("raw"))


def hash_weights(encoder: ImageEncoder) -> str:
    """Return a hash of an encoder's architecture and weights."""
    digest = hashlib.sha256(encoder.facts.architecture.encode())
    # Sorted, as the order in which modules were made says nothing.
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        # Bytes: numpy knows no bf16.
        raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(raw.numpy().data)
    return digest.hexdigest()


def resolve_layers(layers: Sequence[int], depth: int) -> tuple[int, ...]:
    """Turn layer numbers (1 the first, `depth` or -1 the last) into ascending positive ones.

    Raises:
        InputError: If one is out of range.
    """
    for layer in layers:
        if layer == 0 or abs(layer) > depth:
            raise InputError(
                f"layer {layer} does not exist: this encoder has layers 1 to {depth} "
                f"(or -{depth} to -1, from the last)"
            )
    return tuple(sorted({layer if layer > 0 else depth + 1 + layer for layer in layers}))
