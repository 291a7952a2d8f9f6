"""Image encoders of open_clip: its own ViT and ResNet, and timm trunks inside it."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from toolkit_common.backbones.contract import EncoderFacts, ImageEncoder, Tokens
from toolkit_common.backbones.from_timm import TimmEncoder, inputs_of, read_map
from toolkit_common.errors import InputError
from toolkit_common.images.transforms import Preprocess
from toolkit_common.registry import did_you_mean
from toolkit_common.torchvision_ops import prepare

prepare()
import open_clip  # noqa: E402
from open_clip.timm_model import TimmModel  # noqa: E402


class OpenClipEncoder(ImageEncoder):
    """An open_clip vision tower with its own implementation (ViT, ModifiedResNet).

    Patches and class token are those after the tower's final norm, before its projection (CoCa has
    its norm behind its attention pooler: they are those that the pooler reads); `pooled` is the
    projected image embedding.

    Args:
        visual: The vision tower.
        architecture: Its name in open_clip.
        preprocess: Its input.
    """

    def __init__(self, visual: nn.Module, *, architecture: str, preprocess: Preprocess) -> None:
        super().__init__()
        self.model = visual
        self.preprocess = preprocess
        self._is_vit = hasattr(visual, "transformer")
        self._pooler = getattr(visual, "attn_pool", None)
        # CoCa's norm follows its pooler: the tokens that we read never pass it.
        pools_first = self._pooler is not None and visual.attn_pool_contrastive is None
        self._options = {
            "output_fmt": "NCHW",
            "normalize_intermediates": not pools_first,
            "output_extra_tokens": True,
        }
        self._norm = visual.ln_post if self._is_vit and not pools_first else None
        self.facts = self._find_facts(architecture)

    @override
    def forward_layers(
        self, images: Tensor, layers: Sequence[int], *, pooled: bool = False
    ) -> list[Tokens]:
        wants_pooled = pooled and layers[-1] == self.facts.depth
        with inputs_of(self._norm) as before:
            tokens, vector = self._run(images, [layer - 1 for layer in layers], pooled=wants_pooled)
        if self._norm is not None:  # its first calls are those for the layers
            tokens = [replace(item, raw=raw) for item, raw in zip(tokens, before, strict=False)]
        tokens[-1] = replace(tokens[-1], pooled=vector)
        return tokens

    def _run(
        self, images: Tensor, indices: list[int] | None, *, pooled: bool
    ) -> tuple[list[Tokens], Tensor | None]:
        forward: Any = self.model.forward_intermediates
        out = forward(images, indices=indices, intermediates_only=not pooled, **self._options)
        maps = out["image_intermediates"]
        prefixes = out.get("image_intermediates_prefix", [None] * len(maps))
        return list(map(read_map, maps, prefixes)), out.get("image_features")

    def _find_facts(self, architecture: str) -> EncoderFacts:
        height, width = self.preprocess.image_size
        was_training = self.model.training
        # Eval: one image is no batch for a batch norm, and its statistics must not move.
        self.model.eval()
        with torch.no_grad():
            layers, pooled = self._run(torch.zeros(1, 3, height, width), None, pooled=True)
        self.model.train(was_training)
        assert pooled is not None
        last = layers[-1]
        return EncoderFacts(
            architecture=architecture,
            embed_dim=last.patches.shape[2],
            grid=last.grid,
            num_prefix_tokens=last.prefix.shape[1],
            has_class_token=self._is_vit,
            has_attention_pool=self._pooler is not None,
            pools_class_token=getattr(self.model, "pool_type", None) == "tok",
            pooled_dim=pooled.shape[1],
            depth=len(layers),
            is_convolutional=not self._is_vit,
            has_final_norm=self._norm is not None,
        )


def build_open_clip_encoder(name: str, tag: str | None, *, pretrained: bool) -> ImageEncoder:
    """Build the vision tower of an open_clip model.

    Args:
        name: open_clip's model name, `hf-hub:ORG/REPO`, or `local-dir:PATH`.
        tag: Pretrained tag; decides the normalisation and the activation (QuickGELU) even where
            its weights are not loaded.
        pretrained: Whether to load the weights.

    Raises:
        InputError: If the name or tag is unknown, or its weights cannot be had.
    """
    # A folder's or the Hub's config says all of it; the lists know published names alone.
    is_listed = not name.startswith(("local-dir:", "hf-hub:"))
    if is_listed and name not in open_clip.list_models():
        raise InputError(
            f"unknown open_clip model {name!r}{did_you_mean(name, open_clip.list_models())}"
        )
    tags = open_clip.list_pretrained_tags_by_model(name) if is_listed else []
    if tag is not None and tag not in tags:
        raise InputError(
            f"open_clip model {name!r} has no weights {tag!r}{did_you_mean(tag, tags)}"
        )
    config = open_clip.get_pretrained_cfg(name, tag) if tag else {}
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.CRITICAL)  # open_clip logs to the root logger
    try:
        model = open_clip.create_model(
            name,
            # Shapes alone are looked at on the meta device, which the default then is.
            device=torch.get_default_device(),
            pretrained=tag if pretrained else None,
            load_weights=pretrained,
            require_pretrained=pretrained,
            pretrained_text=False,
            force_quick_gelu=bool(config.get("quick_gelu")),  # open_clip itself only warns
            force_preprocess_cfg=config,
        )
    except (RuntimeError, OSError, ValueError) as error:
        raise InputError(_no_weights(name, tag, error)) from error
    finally:
        logging.getLogger().setLevel(level)
    preprocess = _preprocess_of(model.visual)
    architecture = f"open_clip:{name}" + (f"@{tag}" if tag else "")
    if isinstance(model.visual, TimmModel):
        # Read through timm: its prefix tokens are apart from its patches there, while open_clip's
        # wrapper hands out the class token as a patch (docs/encoders.md).
        trunk = model.visual.trunk
        return TimmEncoder(trunk, architecture=architecture, preprocess=preprocess)
    return OpenClipEncoder(model.visual, architecture=architecture, preprocess=preprocess)


def find_quick_twin(name: str) -> str | None:
    """Return the model that differs in QuickGELU alone, of which OpenAI's weights are."""
    twin = f"{name.partition('@')[0]}-quickgelu"
    return twin if twin in open_clip.list_models() else None


def _no_weights(name: str, tag: str | None, error: Exception) -> str:
    if name.startswith("local-dir:"):
        return f"cannot build open_clip:{name}: {str(error).splitlines()[0]}"
    if name.startswith("hf-hub:"):
        return (
            f"no config and weights of open_clip:{name} in the Hub's cache, and the Hub cannot be "
            f"reached: hf download {name.removeprefix('hf-hub:')} where it can, or give a folder "
            "of both as open_clip:local-dir:PATH"
        )
    return (
        f"no weights for open_clip:{name}{'@' + tag if tag else ''} in the local cache, and "
        f"the Hub cannot be reached: give a file with open_clip:{name}{'@' + tag if tag else ''}"
        "?weights=FILE, or --random-init for an untrained control"
    )


def _preprocess_of(visual: Any) -> Preprocess:
    config = visual.preprocess_cfg
    size = config["size"]
    if config["resize_mode"] == "longest":
        raise InputError("the model wants its images padded to a border: choose another model")
    return Preprocess(
        image_size=(size, size) if isinstance(size, int) else (size[0], size[1]),
        resize="squash" if config["resize_mode"] == "squash" else "shortest",
        crop_pct=1.0,
        interpolation=config["interpolation"],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )
