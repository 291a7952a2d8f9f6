"""An encoder that is tuned with its head: wholly, or by LoRA on the attention of a timm ViT.

LoRA (Hu et al., ICLR 2022) is peft's: every `attn.qkv` and `attn.proj` gets a trained product of
two thin matrices beside it, zero at the start. The encoder stays in eval mode, so that an image has
one representation in training and in evaluation: no stochastic depth, no batch statistics.

Shapes: b images, n tokens, d width, c classes.
"""

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from typing_extensions import override

from toolkit_common.backbones.contract import Backbone, ImageEncoder
from toolkit_common.errors import InputError
from toolkit_common.extras import require
from toolkit_common.features.contract import features_of
from toolkit_common.foreign.values import checked, parse_json, refuse_pipe
from toolkit_common.outside import reason_of
from toolkit_common.runs.files import atomic_path
from toolkit_common.seed import seeded
from toolkit_probing.heads.head import Head
from toolkit_probing.heads.inputs import read_source

ATTENTION = re.compile(r"(^|\.)attn\.(qkv|proj)$")
ENCODERS = "encoders"  # folder of a run, a file for each head
ALPHA = 2  # LoRA's scale over its rank: our choice


@dataclass(frozen=True)
class Tuning:
    """How an encoder is tuned: `full`, or `lora` of some rank."""

    kind: Literal["lora", "full"]
    rank: int = 8

    @property
    def name(self) -> str:
        """Short name, for rows and files."""
        return f"lora{self.rank}" if self.kind == "lora" else self.kind


class TunedHead(nn.Module):
    """A head behind the encoder that is trained with it.

    Args:
        encoder: The encoder, as `make_trainable_` leaves it.
        head: The head.
        source: What the head reads of the encoder's last layer.
        rows_at_once: Images whose activations are held at a time; those of others are computed
            again in the backward pass.

    Shape:
        images `(b, 3, h, w)` of bytes -> logits `(b, c)`.
    """

    def __init__(
        self, encoder: ImageEncoder, head: Head, *, source: str, rows_at_once: int
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.source = source
        self.rows_at_once = rows_at_once

    @override
    def train(self, mode: bool = True) -> "TunedHead":
        super().train(mode)
        self.encoder.eval()
        return self

    @override
    def forward(
        self,
        inputs: UInt8[Tensor, "b 3 h w"],
        beside: None = None,
        *,
        micro_batch: int | None = None,
    ) -> Float[Tensor, "b c"]:
        """Return the logits; arguments as `Head.forward`, but that there are no metadata beside."""
        del beside
        return self.head(self._read_parts(inputs), micro_batch=micro_batch)

    def pooled(self, inputs: UInt8[Tensor, "b 3 h w"], beside: None = None) -> Float[Tensor, "b o"]:
        """Return what the head's norm and classifier read."""
        del beside
        return self.head.pooled(self._read_parts(inputs))

    def _read_parts(self, images: Tensor) -> Tensor:
        parts = images.split(self.rows_at_once)
        if torch.is_grad_enabled() and len(parts) > 1:
            # Not reentrant: that kind wants an input with a gradient, and images are bytes.
            read = [checkpoint(self.read, part, use_reentrant=False) for part in parts]
        else:
            read = [self.read(part) for part in parts]
        return torch.cat(read)

    def read(self, images: UInt8[Tensor, "b 3 h w"]) -> Tensor:
        """Return what the head reads of images."""
        facts = self.encoder.facts
        tokens = self.encoder.forward_layers(
            self.encoder.preprocess.normalize(images),
            (facts.depth,),
            pooled=self.source == "pooled",
        )[0]
        return read_source(features_of(tokens, facts, with_patches=True), self.source)


def build_tuned_head(
    backbone: Backbone,
    head: Head,
    tuning: Tuning,
    *,
    source: str,
    seed: int,
    rows_at_once: int,
) -> TunedHead:
    """Return a head with an encoder of its own to be tuned; the backbone stays as it is.

    Args:
        backbone: Where the tuning starts.
        head: The head.
        tuning: What of the encoder is trained.
        source: What the head reads.
        seed: Of LoRA's first weights.
        rows_at_once: See `TunedHead`.

    Raises:
        InputError: If LoRA does not reach this encoder's attention, or peft is not installed.
    """
    own = deepcopy(backbone.encoder)  # each head has its own
    # That of the run, which --input may have replaced.
    own.preprocess = backbone.info.preprocess
    make_trainable_(own, tuning, seed=seed)
    tuned = TunedHead(own, head, source=source, rows_at_once=rows_at_once).train()
    unreached = _unreached(tuned)
    if unreached and tuning.kind == "lora":
        raise InputError(
            f"LoRA does not reach {unreached[0].partition('.lora_')[0]} of "
            f"{own.facts.architecture}, whose attention goes past its layers: use --tune full"
        )
    for name in unreached:  # of a pooler that is not read: it would count as tuned
        own.get_parameter(name).requires_grad = False
    return tuned


def make_trainable_(encoder: ImageEncoder, tuning: Tuning, *, seed: int = 0) -> None:
    """Let an encoder learn what its tuning covers, and nothing else of it.

    Raises:
        InputError: If it is for LoRA and has no attention of timm's, or peft is not installed.
    """
    encoder.eval().requires_grad_(requires_grad=tuning.kind == "full")
    if tuning.kind == "full":
        return
    names = [
        name
        for name, module in encoder.model.named_modules()
        if ATTENTION.search(name) and isinstance(module, nn.Linear)
    ]
    if not names:
        raise InputError(
            f"LoRA is put on the attention (attn.qkv, attn.proj) of timm ViTs, and "
            f"{encoder.facts.architecture} has none: use --tune full, or a timm:vit_... encoder"
        )
    peft = _import_peft()
    config = peft.LoraConfig(r=tuning.rank, lora_alpha=ALPHA * tuning.rank, target_modules=names)
    # peft draws A at random, from torch's own stream.
    with seeded(seed, "lora"):
        peft.inject_adapter_in_model(config, encoder.model)
    # What was injected is in training mode still.
    encoder.eval()


def save_tuned_encoder(path: Path, encoder: ImageEncoder, tuning: Tuning) -> None:
    """Write what was tuned of an encoder: the adapter, or all weights."""
    described = json.dumps(asdict(tuning))
    state = {name: value.detach().cpu().contiguous() for name, value in _tuned(encoder).items()}
    with atomic_path(path) as temporary:
        save_file(state, temporary, metadata={"tuning": described})


def load_tuned_encoder_(encoder: ImageEncoder, path: Path) -> None:
    """Put what `save_tuned_encoder` wrote into the encoder from which the tuning started.

    Raises:
        InputError: If the file is missing, damaged, or of another encoder.
    """
    try:
        refuse_pipe(path)
        with safe_open(path, framework="pt") as file:
            described = (file.metadata() or {})["tuning"]
        state = load_file(path)
    except (OSError, SafetensorError, KeyError) as error:
        raise InputError(f"cannot read the tuned encoder {path}: {reason_of(error)}") from None
    tuning: Tuning = checked(Tuning, parse_json(described, f"the tuning of {path}"), path)
    # First, as the adapter's names exist only then.
    make_trainable_(encoder, tuning)
    own = encoder.state_dict()
    for name, value in state.items():
        if name not in own or own[name].shape != value.shape:
            raise InputError(f"{path} is of another encoder: {name} does not fit")
    # Not strict: an adapter's file holds nothing else.
    encoder.load_state_dict(state, strict=False)
    encoder.requires_grad_(requires_grad=False).eval()


def tuned_parameters(encoder: nn.Module) -> int:
    """Count what is trained of an encoder."""
    return sum(item.numel() for item in encoder.parameters() if item.requires_grad)


def _tuned(encoder: ImageEncoder) -> Mapping[str, Tensor]:
    trained = {name for name, item in encoder.named_parameters() if item.requires_grad}
    return {name: value for name, value in encoder.state_dict().items() if name in trained}


def _unreached(tuned: TunedHead) -> list[str]:
    """Return the trainable parameters of the encoder that what is read does not depend on."""
    size = tuned.encoder.preprocess.image_size
    parameters = dict(tuned.encoder.named_parameters())
    trained = {name: item for name, item in parameters.items() if item.requires_grad}
    device = next(iter(parameters.values())).device
    # The caller may be scoring, without gradients.
    with torch.enable_grad():
        read = tuned.read(torch.zeros(1, 3, *size, dtype=torch.uint8, device=device))
        if not read.requires_grad:  # autograd.grad would raise
            return list(trained)
        gradients = torch.autograd.grad(read.sum(), list(trained.values()), allow_unused=True)
    return [name for name, item in zip(trained, gradients, strict=True) if item is None]


def _import_peft() -> Any:
    from toolkit_common.torchvision_ops import prepare

    prepare()  # peft imports transformers, which imports torchvision
    return require("peft", extra="tune", purpose="--tune lora", package="toolkit-probing")
