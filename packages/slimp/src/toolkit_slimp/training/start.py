"""Where a run starts from: its image encoder, fresh or of another run, and whom that has seen."""

from dataclasses import dataclass

from toolkit_common.backbones.contract import Card, ImageEncoder, Receipt
from toolkit_common.backbones.exported import WEIGHTS
from toolkit_common.backbones.ids import BackboneId, parse_backbone_id
from toolkit_common.backbones.load import build_encoder, read_card
from toolkit_common.console import console
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.splits import Splits
from toolkit_common.errors import InputError
from toolkit_common.seen.ancestry import Ancestry, read_ancestry
from toolkit_common.seen.check import SeenVerdict, check_seen
from toolkit_common.seen.compare import compare_rows
from toolkit_common.seen.record import Contents
from toolkit_slimp.model.slimp import batch_norms
from toolkit_slimp.model.warm_start import Parent
from toolkit_slimp.settings import SlimpSettings

STAND_IN = "timm:vit_tiny_patch16_224?image_size=112"


@dataclass(frozen=True)
class Start:
    """An image encoder, ready to be trained.

    Attributes:
        backbone: What it was built from.
        encoder: The encoder.
        card: How it is read.
        source: Where its weights came from.
        ancestry: Of the exports behind its weights.
        parent: The run that is continued whole, if one is.
    """

    backbone: BackboneId
    encoder: ImageEncoder
    card: Card
    source: str
    ancestry: Ancestry
    parent: Parent | None = None


def load_start(settings: SlimpSettings, parent: Parent | None) -> Start:
    """Return the image encoder of the settings, or of the run that is continued.

    Raises:
        InputError: If it is unknown, its weights cannot be had, or it cannot be trained so.
    """
    if parent is None:
        parsed, encoder, receipt = load_image_encoder(settings)
        ancestry = Ancestry() if settings.random_init else read_ancestry(parsed)
        return Start(parsed, encoder, read_card(parsed, encoder.facts), receipt.source, ancestry)
    # By hand, as a folder may have any name.
    place = str(parent.folder)
    parsed = BackboneId(place, "exported", place, weights=None, layers=(-1,), image_size=None)
    encoder = parent.model.image_encoder
    receipt = Receipt(str(parent.folder / WEIGHTS), 1.0)
    _make_ready(settings, encoder, parsed=parsed, receipt=receipt)
    return Start(parsed, encoder, parent.card, receipt.source, read_ancestry(parsed), parent)


def show_ancestry(
    start: Start, settings: SlimpSettings, *, data: ImageData, splits: Splits
) -> SeenVerdict:
    """Print how the encoder that is continued was trained, and whether on held-out patients.

    Raises:
        InputError: If a whole run is continued, it has seen patients of validation or test, and
            the settings do not accept that.
    """
    for line in start.ancestry.describe():
        console.print(line, markup=False)
    if start.parent is not None:
        # Before training: whoever adapts an encoder means to judge it on those who are held out.
        verdict = check_seen(
            str(start.parent.folder), data, splits, settings=settings,
            allow_seen=settings.allow_seen,
        )  # fmt: skip
        if verdict.message:
            console.print(verdict.message, markup=False)
        return verdict
    overlap = compare_rows(start.ancestry.records, Contents(data), {"held-out": splits.val})
    if overlap.num_seen:
        text = f"it has seen {overlap.counted()}: what is watched is not of unseen patients"
        console.print(text, markup=False)
        return SeenVerdict("seen", text)
    return SeenVerdict("unknown", overlap.doubts[0]) if overlap.doubts else SeenVerdict()


def load_image_encoder(settings: SlimpSettings) -> tuple[BackboneId, ImageEncoder, Receipt]:
    """Build the image encoder, pretrained or random, as the settings want it trained.

    Raises:
        InputError: If it is unknown, its weights cannot be had, or it cannot be trained so.
    """
    is_stand_in = settings.backbone is None
    parsed = parse_backbone_id(settings.backbone or STAND_IN)
    # Layers are for reading a frozen encoder; what is trained is trained whole.
    if parsed.layers != (-1,):
        raise InputError(
            f"pre-training trains the whole encoder: drop the layers in {parsed.text!r}"
        )
    if parsed.leaves_out_norm:
        raise InputError(f"pre-training trains the norm too: drop final_norm in {parsed.text!r}")
    encoder, receipt = build_encoder(
        parsed,
        # The stand-in is made, not fetched: without options a run needs no network.
        random_init=settings.random_init or is_stand_in,
        allow_partial=settings.allow_partial,
        seed=settings.seed,
    )
    _make_ready(settings, encoder, parsed=parsed, receipt=receipt)
    return parsed, encoder, receipt


def _make_ready(
    settings: SlimpSettings, encoder: ImageEncoder, *, parsed: BackboneId, receipt: Receipt
) -> None:
    """Set an encoder up to be trained as the settings want it; prints what it starts from."""
    _refuse_pieces(settings, encoder)
    if settings.grad_checkpointing:
        checkpoint_gradients_(encoder)
    if settings.compile:
        encoder.compile(dynamic=True)  # patients bring different numbers of lesions
    norms = ""
    if count := len(batch_norms(encoder)):
        statistics = "frozen" if settings.freezes_batch_norms else "batch"
        norms = f", {count} batch norms ({statistics} statistics)"
    console.print(f"image encoder: {parsed.known_as}, starts from {receipt.source}{norms}")
    for line in receipt.describe():
        console.print(line)


def _refuse_pieces(settings: SlimpSettings, encoder: ImageEncoder) -> None:
    count = len(batch_norms(encoder))
    if count and settings.lesions_per_pass is not None and not settings.freezes_batch_norms:
        raise InputError(
            f"the image encoder has {count} batch normalisations, whose statistics would be those "
            "of a piece: drop --lesions-per-pass, give --batch-norm frozen, or choose an encoder "
            "with layer normalisation"
        )


def checkpoint_gradients_(encoder: ImageEncoder) -> None:
    """Let an encoder compute its activations again in the backward pass.

    Raises:
        InputError: If its library has no such switch for it.
    """
    try:
        encoder.model.set_grad_checkpointing(True)  # type: ignore[operator]
    except (AssertionError, AttributeError, NotImplementedError):  # timm asserts
        raise InputError(
            f"{encoder.facts.architecture!r} has no gradient checkpointing: drop "
            "--grad-checkpointing; --lesions-per-pass saves memory with any encoder"
        ) from None
