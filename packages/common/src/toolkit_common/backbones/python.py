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
from toolkit_common.printable import shortened


class ModuleEncoder(ImageEncoder):
    """Any module that maps images to `(b, n, d)` tokens of a square grid or a `(b, d, gh, gw)` map.

    It may say how it wants its images with an attribute `preprocess`.

    Raises:
        InputError: If it returns anything else.
    """

    def __init__(self, module: nn.Module, *, name: str) -> None:
        super().__init__()
        self.model = module
        self.preprocess: Preprocess = getattr(module, "preprocess", Preprocess())
        height, width = self.preprocess.image_size
        # A trial is the only way to know what an arbitrary module returns.
        with torch.no_grad(), _users_code(f"{name!r} on an image of {height} x {width}"):
            out = module.eval()(torch.zeros(1, 3, height, width))
        if not isinstance(out, Tensor) or out.ndim not in (3, 4):
            given = f"shape {tuple(out.shape)}" if isinstance(out, Tensor) else type(out).__name__
            raise InputError(
                f"{name!r} must return patch tokens (b, n, d) or a map (b, d, gh, gw), got {given}"
            )
        tokens = self._read(out, name)
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
        return [self._read(self.model(images), self.facts.architecture)]

    def _read(self, out: Tensor, name: str) -> Tokens:
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
            patch tokens.
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
        made = ModuleEncoder(made, name=text)
    return made


@contextmanager
def _users_code(what: str) -> Iterator[None]:
    """Run what the user wrote: whatever it raises, and an exit, is an error that names it."""
    try:
        yield
    except InputError:
        raise
    except SystemExit as error:  # a script without `if __name__ == "__main__"`
        raise InputError(f"{what} called exit({error.code!r}): it must return an encoder") from None
    except Exception as error:
        raise InputError(
            f"{what} failed: {type(error).__name__}: {shortened(str(error))}{_line_of(error)}"
        ) from error


def _line_of(error: Exception) -> str:
    """Return the last line of Python that an error passed through, as ` (FILE:LINE)`."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames[1:] else ""
