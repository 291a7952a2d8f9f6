"""Encoders of the user's own: what `python:MODULE:FACTORY` returns."""

import importlib
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from toolkit_common.backbones.contract import EncoderFacts, ImageEncoder, Tokens
from toolkit_common.errors import InputError
from toolkit_common.images.transforms import Preprocess
from toolkit_common.outside import is_of_machine
from toolkit_common.printable import shortened


class ModuleEncoder(ImageEncoder):
    """Any module that maps images to `(b, n, d)` tokens of a square grid or a `(b, d, gh, gw)` map.

    It may say how it wants its images with an attribute `preprocess`.

    Raises:
        InputError: If it raises or exits, returns anything else, or later other shapes than of the
            image that it is tried on.
    """

    def __init__(self, module: nn.Module, *, name: str) -> None:
        super().__init__()
        self.model = module
        self.preprocess: Preprocess = getattr(module, "preprocess", Preprocess())
        _refuse_other_input(self.preprocess, name)
        # A trial is the only way to know what an arbitrary module returns.
        with torch.no_grad(), _users_code(repr(name)):
            module.eval()
        with torch.no_grad():
            tokens = self._encode(_image_for(self.preprocess), name)
        # Nothing is known of its prefix tokens or pooling: all it returns counts as patches.
        self.facts = EncoderFacts(
            architecture=name,
            embed_dim=tokens.patches.shape[2],
            grid=tokens.grid,
            num_prefix_tokens=0,
            has_class_token=False,
            has_attention_pool=False,
            pools_class_token=False,
            pooled_dim=None,
            depth=1,
        )

    @override
    def forward_layers(self, images: Tensor, layers: Any, *, pooled: bool = False) -> list[Tokens]:
        del layers, pooled
        facts = self.facts
        tokens = self._encode(images, facts.architecture)
        # The grid is that of images of its own size.
        grid = facts.grid if images.shape[2:] == self.preprocess.image_size else tokens.grid
        if (tokens.patches.shape[2], tokens.grid) != (facts.embed_dim, grid):
            raise InputError(
                f"{facts.architecture!r} returns {_shown(tokens)}, and first returned "
                f"{facts.embed_dim} wide on {grid[0]} x {grid[1]}: it must give one shape for all"
            )
        return [tokens]

    def _encode(self, images: Tensor, name: str) -> Tokens:
        what = _on(name, images)
        with _users_code(what):
            out = self.model(images)
        is_map = isinstance(out, Tensor) and out.ndim in (3, 4) and out.is_floating_point()
        if not is_map or len(out) != len(images):
            is_tensor = isinstance(out, Tensor)
            given = f"{out.dtype} of {tuple(out.shape)}" if is_tensor else type(out).__name__
            raise InputError(
                f"{what} must return patch tokens (b, n, d) or a map (b, d, gh, gw), got {given}"
            )
        if out.ndim == 4:
            patches, grid = out.flatten(2).transpose(1, 2), (out.shape[2], out.shape[3])
        else:
            side = round(out.shape[1] ** 0.5)
            if side * side != out.shape[1]:
                raise InputError(
                    f"{name!r} returns {out.shape[1]} tokens, no square grid: return a "
                    "(b, d, gh, gw) map instead"
                )
            patches, grid = out, (side, side)
        return Tokens(patches, patches.new_zeros(patches.shape[0], 0, patches.shape[2]), grid)


def build_python_encoder(name: str) -> ImageEncoder:
    """Call a factory of a module that lies in the working folder, or is installed.

    Args:
        name: `MODULE:FACTORY`.

    Raises:
        InputError: If it cannot be imported, raises or exits, or gives no module whose output is
            patch tokens. A failure of the machine, such as MemoryError, stays what it is.
    """
    text = f"python:{name}"
    module_name, _, factory_name = name.partition(":")
    if not module_name or not factory_name or module_name.startswith("."):
        raise InputError(f"expected python:MODULE:FACTORY, got {text!r}")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # `python -m` looks there too, the installed command does not
    with _users_code(f"the import of {text!r}"):
        module = importlib.import_module(module_name)
    if not hasattr(module, factory_name):
        raise InputError(f"cannot import {text!r}: {module_name} has no {factory_name!r}")
    factory = getattr(module, factory_name)
    with _users_code(repr(text)):
        made = factory() if callable(factory) else factory
    if not isinstance(made, nn.Module):
        raise InputError(f"{text!r} must return an nn.Module, got a {type(made).__name__}")
    if not isinstance(made, ImageEncoder):
        return ModuleEncoder(made, name=text)
    _name_failures_(made, text)
    _try_ready(made, text)
    return made


def _name_failures_(encoder: ImageEncoder, name: str) -> None:
    """Let what an encoder of the user's raises on any images name it, however it is called."""
    own = type(encoder)

    def forward_layers(
        self: ImageEncoder, images: Tensor, layers: Any, *, pooled: bool = False
    ) -> list[Tokens]:
        with _users_code(_on(name, images)):
            return own.forward_layers(self, images, layers, pooled=pooled)

    # Its class, not it: a copy that is tuned names itself, and names of weights stay.
    encoder.__class__ = type(own.__name__, (own,), {"forward_layers": forward_layers})


def _on(name: str, images: Tensor) -> str:
    count, _, height, width = images.shape
    return f"{name!r} on {f'{count} images' if count > 1 else 'an image'} of {height} x {width}"


def _try_ready(encoder: ImageEncoder, name: str) -> None:
    """Refuse an encoder of the user's that does not meet the contract on an image."""
    facts = getattr(encoder, "facts", None)
    if not isinstance(facts, EncoderFacts):
        raise InputError(f"{name!r} has `facts` that are no EncoderFacts: {type(facts).__name__}")
    _refuse_other_input(getattr(encoder, "preprocess", None), name)
    with torch.no_grad(), _users_code(f"{name!r} on an image"):
        layers = encoder.eval().forward_layers(_image_for(encoder.preprocess), (facts.depth,))
    is_read = isinstance(layers, list) and len(layers) == 1 and isinstance(layers[0], Tokens)
    if not is_read:
        raise InputError(f"{name!r} must return a list of Tokens, one a layer")


def _refuse_other_input(preprocess: object, name: str) -> None:
    if not isinstance(preprocess, Preprocess):
        raise InputError(
            f"{name!r} has a `preprocess` that is no {Preprocess.__module__}.Preprocess: "
            f"{type(preprocess).__name__}"
        )


def _image_for(preprocess: Preprocess) -> Tensor:
    return torch.zeros(1, 3, *preprocess.image_size)


def _shown(tokens: Tokens) -> str:
    return f"{tokens.patches.shape[2]} wide on {tokens.grid[0]} x {tokens.grid[1]}"


@contextmanager
def _users_code(what: str) -> Iterator[None]:
    """Run what the user wrote: whatever it raises, and an exit, is an error that names it."""
    try:
        yield
    except (InputError, KeyboardInterrupt):
        raise
    except SystemExit as error:  # a script without `if __name__ == "__main__"`
        raise InputError(f"{what} called exit({error.code!r}): it must return instead") from None
    except BaseException as error:  # GeneratorExit is none of Exception's
        if is_of_machine(error):
            raise
        raise InputError(
            f"{what} failed: {type(error).__name__}: {shortened(str(error))}{_line_of(error)}"
        ) from error


def _line_of(error: BaseException) -> str:
    """Return the last line of Python that an error passed through, as ` (FILE:LINE)`."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames[1:] else ""
