"""What learns in continual pre-training, and what stays as the run has left it.

The paper, as its reviews quote it: "we fine-tune the embedding layers of the image and metadata
encoders, keeping their attention layers frozen" (docs/slimp.md). `embeddings` is that, with the
projection heads; an encoder without attention blocks has a stem and norms in the embedding's place.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from toolkit_common.data.sheet import Level
from toolkit_common.errors import InputError
from toolkit_slimp.architecture import Train
from toolkit_slimp.model.image_parts import divide_encoder, is_norm
from toolkit_slimp.model.slimp import SlimpModel

IMAGE = "image_encoder."
ENCODERS: dict[str, Level] = {"lesion_encoder.": "lesion", "patient_encoder.": "patient"}
EMBEDDINGS = ("numbers", "words", "column_bias", "cls")  # of a metadata encoder, before its blocks
LEARNS: dict[Train, tuple[str, ...]] = {  # kinds of tensors by what is asked for
    "embeddings": ("embedding", "embedding norms", "stem", "stem norms", "table", "head"),
    "norms": ("norms", "stem norms", "embedding norms", "table", "head"),
    "all": (),
}


@dataclass(frozen=True)
class Piece:
    """One tensor that could learn.

    Attributes:
        name: In the model.
        group: What it is part of, for humans.
        kind: What decides whether it learns.
        level: Of a metadata encoder.
    """

    name: str
    group: str
    kind: str
    level: Level | None = None


@dataclass(frozen=True)
class Learning:
    """Whether a tensor learns.

    Attributes:
        name: In the model.
        group: What it is part of.
        learns: Whether it is trained.
        size: Numbers in it.
    """

    name: str
    group: str
    learns: bool
    size: int


def choose_trainable_(
    model: SlimpModel, train: Train, *, fresh: Sequence[Level] = ()
) -> list[Learning]:
    """Freeze what is not to learn; returns every tensor with its group and whether it learns.

    What no loss of the run reads is frozen too: it would be listed as trained, and is not.

    Args:
        model: Of which gradients are switched off.
        train: What learns.
        fresh: Levels whose metadata encoder no run has trained: it learns whole.

    Raises:
        InputError: If nothing of the image encoder would learn.
    """
    listed = []
    parameters = dict(model.named_parameters())
    for piece in _pieces(model):
        parameter = parameters[piece.name]
        learns = train == "all" or piece.kind in LEARNS[train] or piece.level in fresh
        # A temperature that is fixed stays so.
        learns = learns and parameter.requires_grad and _is_read(model, piece.name)
        parameter.requires_grad = learns
        listed.append(Learning(piece.name, piece.group, learns, parameter.numel()))
    if not any(item.learns for item in listed if item.name.startswith(IMAGE)):
        raise InputError(
            f"--train {train} would leave image encoder "
            f"{model.image_encoder.facts.architecture!r} as it is: it has no such layers; choose "
            f"--train {'norms or all' if train == 'embeddings' else 'embeddings or all'}"
        )
    return listed


def has_attention_blocks(model: SlimpModel) -> bool:
    """Return whether the image encoder has attention blocks, which `embeddings` leaves alone."""
    return divide_encoder(model.image_encoder.model).has_blocks


def _pieces(model: SlimpModel) -> Iterator[Piece]:
    yield from _image_pieces(model)
    for front, level in ENCODERS.items():
        encoder = model.get_submodule(front.rstrip("."))
        for name, _ in encoder.named_parameters():
            if name.split(".")[0] in EMBEDDINGS:
                yield Piece(front + name, f"{level} metadata: embeddings", "table", level)
            elif is_norm(encoder.get_submodule(name.rpartition(".")[0])):
                yield Piece(front + name, f"{level} metadata: norms of blocks", "norms", level)
            else:
                what = f"{level} metadata: attention and MLP blocks"
                yield Piece(front + name, what, "blocks", level)
    known = (IMAGE, *ENCODERS)
    for name, _ in model.named_parameters():
        if not name.startswith(known):
            group = "temperatures" if name == "log_scales" else "projection heads"
            yield Piece(name, group, "head")


def _image_pieces(model: SlimpModel) -> Iterator[Piece]:
    library: nn.Module = model.image_encoder.model
    divided = divide_encoder(library)
    inner = f"{IMAGE}model."
    groups = {
        "embedding": "image: patches, positions, tokens",
        "stem": "image: stem",
        "blocks": "image: attention and MLP blocks",
        "layers": "image: layers behind the stem",
        "rest": "image: behind and beside the blocks",
    }
    for name, part in divided.parts.items():
        kind, group = str(part), groups[part]
        if name in divided.norms:
            # Norms of a CNN learn with its stem; those of a patch embedding are part of it.
            kind = "norms" if part in ("blocks", "rest") else f"{part} norms"
            kind = "stem norms" if part in ("stem", "layers") else kind
            group = "image: norms" if not divided.has_blocks else f"{group}: norms"
        yield Piece(inner + name, group, kind)
    for name, _ in model.named_parameters():
        # What the contract's own module may add beside the library's.
        if name.startswith(IMAGE) and name.removeprefix(inner) not in divided.parts:
            yield Piece(name, "image: behind and beside the blocks", "rest")


def _is_read(model: SlimpModel, name: str) -> bool:
    """Whether a loss of this run reads what a tensor is part of."""
    lesion, patient = model.has_lesion_loss, model.has_patient_loss
    read = {
        "lesion_encoder": lesion or patient,
        "patient_encoder": patient,
        "phenotype": patient,
        "project_image": lesion,
        "project_lesion": lesion,
        "project_phenotype": patient,
        "project_patient": patient,
    }
    return read.get(name.split(".")[0], True)
