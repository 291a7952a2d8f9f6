"""Encoders from timm: any model with patch tokens or a feature map.

`forward_intermediates` gives every family's final features (equal to `forward_features`) and its
intermediate ones; families differ in layout and in the options they take, which is settled once,
when the encoder is built (docs/stack.md).
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from typing_extensions import override

from toolkit_common.backbones.contract import EncoderFacts, ImageEncoder, Tokens
from toolkit_common.errors import InputError
from toolkit_common.images.transforms import Preprocess
from toolkit_common.printable import shortened
from toolkit_common.registry import did_you_mean
from toolkit_common.torchvision_ops import prepare

prepare()
import timm  # noqa: E402
from timm.data import resolve_model_data_config  # noqa: E402


class TimmEncoder(ImageEncoder):
    """A timm model behind the contract.

    Args:
        model: The model, made with `num_classes=0`.
        architecture: Its name in timm.
        preprocess: Its input; read from its pretrained configuration when not given.

    Raises:
        InputError: If it yields neither tokens nor a feature map.
    """

    def __init__(
        self, model: nn.Module, *, architecture: str, preprocess: Preprocess | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self.preprocess = preprocess or preprocess_of(model)
        if not hasattr(model, "forward_intermediates"):
            raise InputError(
                f"{architecture!r} has no patch tokens to read: choose a ViT, Swin, Hiera, "
                "ConvNeXt, ResNet, EfficientNet or the like"
            )
        self._num_prefix_tokens = int(getattr(model, "num_prefix_tokens", None) or 0)
        self._options = self._find_options()
        self.facts = self._find_facts(architecture)

    @override
    def forward_layers(
        self, images: Tensor, layers: Sequence[int], *, pooled: bool = False
    ) -> list[Tokens]:
        norm = self.model.norm if self.facts.has_final_norm and not self.training else None
        with inputs_of(norm) as before:
            final, tokens = self._run(images, [layer - 1 for layer in layers])
        if norm is not None:
            tokens = [replace(item, raw=raw) for item, raw in zip(tokens, before, strict=False)]
        # The last layer as the library itself ends: Hiera's intermediates lack the final norm.
        if layers[-1] == self.facts.depth:
            vector = self._pool(final) if pooled else None
            last = self._read_final(final, tokens[-1].grid, vector)
            tokens[-1] = replace(last, raw=tokens[-1].raw)
        return tokens

    def _run(self, images: Tensor, indices: list[int] | None) -> tuple[Any, list[Tokens]]:
        forward: Any = self.model.forward_intermediates
        final, items = forward(images, indices=indices, **self._options)
        return final, [
            read_map(*item) if isinstance(item, tuple) else read_map(item) for item in items
        ]

    def _find_options(self) -> dict[str, bool]:
        options = {"norm": True}
        accepted = inspect.signature(self.model.forward_intermediates).parameters  # type: ignore[arg-type]
        if "return_prefix_tokens" in accepted and self._num_prefix_tokens:
            options["return_prefix_tokens"] = True
        return options

    def _find_facts(self, architecture: str) -> EncoderFacts:
        height, width = self.preprocess.image_size
        parameter = next(self.model.parameters())
        images = torch.zeros(1, 3, height, width, device=parameter.device, dtype=parameter.dtype)
        # A probe of shapes: it must move no statistics, and leave the mode as it was.
        was_training = self.model.training
        self.model.eval()
        is_nhwc = getattr(self.model, "output_fmt", "NCHW") == "NHWC"
        norm = getattr(self.model, "norm", None)
        with torch.no_grad(), inputs_of(norm) as before:
            try:
                final, layers = self._run(images, None)
            except AssertionError:  # Hiera refuses to normalise intermediate features
                self._options["norm"] = False
                final, layers = self._run(images, None)
            _refuse_no_grid(final, layers[-1].grid, self._num_prefix_tokens, name=architecture)
            try:
                tokens = self._read_final(final, layers[-1].grid, self._pool(final))
            except (NotImplementedError, TypeError) as error:
                raise InputError(
                    f"{architecture!r} has no pooled output ({error}): choose another model"
                ) from error
        self.model.train(was_training)
        assert tokens.pooled is not None
        return EncoderFacts(
            architecture=architecture,
            embed_dim=tokens.patches.shape[2],
            grid=tokens.grid,
            num_prefix_tokens=tokens.prefix.shape[1],
            has_class_token=getattr(self.model, "cls_token", None) is not None,
            has_attention_pool=getattr(self.model, "attn_pool", None) is not None,
            pools_class_token=getattr(self.model, "global_pool", None) == "token",
            pooled_dim=tokens.pooled.shape[1],
            depth=len(layers),
            is_convolutional=final.ndim == 4 and not is_nhwc,
            # Called for every layer read and once more for the last one.
            has_final_norm=not isinstance(norm, nn.Identity)
            and [item.shape for item in before] == [final.shape] * (len(layers) + 1),
        )

    def _read_final(self, final: Tensor, grid: tuple[int, int], pooled: Tensor | None) -> Tokens:
        if final.ndim == 4:
            is_nhwc = getattr(self.model, "output_fmt", "NCHW") == "NHWC"
            tokens = read_map(final.permute(0, 3, 1, 2) if is_nhwc else final)
            return replace(tokens, pooled=pooled)
        count = self._num_prefix_tokens
        return Tokens(final[:, count:], final[:, :count], grid, pooled)

    def _pool(self, final: Tensor) -> Tensor:
        return self.model.forward_head(final, pre_logits=True)  # type: ignore[operator]


def _refuse_no_grid(
    final: Any, grid: tuple[int, int], num_prefix_tokens: int, *, name: str
) -> None:
    height, width = grid
    num_tokens = num_prefix_tokens + height * width
    if isinstance(final, Tensor) and (final.ndim != 3 or final.shape[1] == num_tokens):
        return
    given = tuple(final.shape) if isinstance(final, Tensor) else type(final).__name__
    raise InputError(
        f"{name!r} has no single grid of patch tokens (its features are {given}, its last grid "
        f"{height} x {width}): choose another model"
    )


def build_timm_encoder(
    name: str, *, pretrained: bool, image_size: int | None = None
) -> TimmEncoder:
    """Build a timm model behind the contract; arguments and errors as `build_timm_model`."""
    local = Path(name.removeprefix("local-dir:"))
    if name.startswith("local-dir:") and not local.is_dir():
        raise InputError(f"no folder at {local}")
    try:
        model = build_timm_model(name, pretrained=pretrained, image_size=image_size)
        return TimmEncoder(
            model,
            architecture=f"timm:{name}" + (f"?image_size={image_size}" if image_size else ""),
            preprocess=_named_preprocess(model, name, image_size),
        )
    except InputError:
        raise
    except (AssertionError, RuntimeError, ValueError) as error:
        if image_size is None:
            raise
        raise InputError(f"timm:{name} cannot take image_size={image_size}: {error}") from error


@contextmanager
def inputs_of(module: Any) -> Iterator[list[Tensor]]:
    """Collect what a module is fed while the block runs; nothing for what is no module."""
    fed: list[Tensor] = []
    if not isinstance(module, nn.Module):
        yield fed
        return
    handle = module.register_forward_pre_hook(lambda _, inputs: fed.append(inputs[0]))
    try:
        yield fed
    finally:
        handle.remove()


def build_timm_model(name: str, *, pretrained: bool, image_size: int | None = None) -> nn.Module:
    """Create a timm model without a classifier.

    Args:
        name: timm's name with tag, `hf-hub:ORG/REPO` or `local-dir:PATH`.
        pretrained: Whether to load timm's weights (from its cache or the Hub).
        image_size: Side of the square input, where the model lets one choose.

    Raises:
        InputError: If the name is unknown, or its weights cannot be had or do not fit.
    """
    if ":" not in name and not timm.is_model(name):
        raise InputError(f"unknown timm model {name!r}{_near_models(name)}")
    try:
        return _create(name, pretrained=pretrained, image_size=image_size)
    except (OSError, ConnectionError) as error:
        if name.startswith("local-dir:"):
            raise InputError(f"cannot read timm:{name}: {error}") from error
        raise InputError(
            f"no weights for timm:{name} in the local cache, and the Hub cannot be reached "
            f"({type(error).__name__}): give a file with timm:{name}?weights=FILE.safetensors, or "
            "--random-init for an untrained control"
        ) from error
    except (
        AssertionError, AttributeError, LookupError, SafetensorError, TypeError, ValueError
    ) as error:  # fmt: skip
        if ":" not in name:  # of what timm itself has
            raise
        text = shortened(str(error))
        raise InputError(
            f"timm:{name} cannot be built ({type(error).__name__}: {text}): its config.json, or "
            "where it is to lie, is at fault"
        ) from error
    except RuntimeError as error:
        if "in loading state_dict" in str(error):
            raise InputError(
                f"the weights of timm:{name} do not fit it: {' '.join(str(error).split())[:300]}"
            ) from error
        if ":" in name:
            raise InputError(f"timm:{name} cannot be built: {shortened(str(error))}") from error
        if "retrained" not in str(error):
            raise
        raise InputError(
            f"timm has no such weights: {error}: choose from "
            f"{', '.join(timm.list_pretrained(name.partition('.')[0] + '.*')) or 'none'}"
        ) from error


def _create(name: str, *, pretrained: bool, image_size: int | None) -> nn.Module:
    # Asked for no classifier, timm drops `strict` and takes whatever fits (timm 1.0.31,
    # `load_pretrained`): pre-trained models lose their classifier after loading.
    options: dict[str, Any] = {} if pretrained else {"num_classes": 0}
    sized = options if image_size is None else {**options, "img_size": image_size}
    try:
        model: nn.Module = timm.create_model(name, pretrained=pretrained, **sized)
    except TypeError:
        if image_size is None:
            raise
        # Convolutional networks take any size and have no such argument.
        model = timm.create_model(name, pretrained=pretrained, **options)
    if pretrained:
        model.reset_classifier(0)  # type: ignore[operator]
    return model


def preprocess_of(model: nn.Module, image_size: int | None = None) -> Preprocess:
    """Return the input that a timm model was trained for."""
    wanted = {"img_size": image_size} if image_size else {}
    config = resolve_model_data_config(model, args=wanted)
    if config["crop_mode"] == "border":
        raise InputError("the model wants its images padded to a border: choose another model")
    return Preprocess(
        image_size=(config["input_size"][1], config["input_size"][2]),
        resize="squash" if config["crop_mode"] == "squash" else "shortest",
        crop_pct=config["crop_pct"],
        interpolation=config["interpolation"],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )


def _named_preprocess(model: nn.Module, name: str, image_size: int | None) -> Preprocess:
    try:
        return preprocess_of(model, image_size)
    except InputError as error:  # of a configuration that anybody may have written
        raise InputError(f"timm:{name}: {error}") from None


def read_map(feature_map: Tensor, prefix: Tensor | None = None) -> Tokens:
    """Return a feature map `(b, d, gh, gw)` as tokens, behind prefix tokens if there are any."""
    batch, dim, height, width = feature_map.shape
    patches = feature_map.flatten(2).transpose(1, 2)  # (b, n, d)
    if prefix is None:
        prefix = patches.new_zeros(batch, 0, dim)
    return Tokens(patches, prefix, (height, width))


def _near_models(name: str) -> str:
    near = did_you_mean(name, timm.list_models()).partition(" choose from")[0]
    return f"{near} see them with: toolkit backbones [PATTERN]"
