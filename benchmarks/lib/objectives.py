"""Objectives that pre-train a small ViT on single images, and the crops that they see; of `mim`.

MAE: He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022, arXiv 2111.06377: the
encoder sees a quarter of the patches, a light decoder predicts the others, each patch's pixels
normalised. Beside it two twins: labels, and SimCLR (Chen et al., ICML 2020), both on the class
token. An objective holds the encoder as `vit` and what is thrown away after pre-training.

Shapes: b images, (h, w) pixels, p the side of a patch, n patches, k kept ones, d the encoder's
width, e the decoder's, v = 3 p p values of a patch.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from toolkit_common.torchvision_ops import prepare
from toolkit_slimp.model.losses import nt_xent

prepare()
from timm.layers import build_sincos2d_pos_embed  # noqa: E402
from timm.models.vision_transformer import Block  # noqa: E402

MASKED = 0.75  # section 4.1
DECODER_WIDTH, DECODER_DEPTH, DECODER_HEAD = 64, 2, 32
FLAT = 1e-6  # added to a patch's variance, as MAE's code has it
TEMPERATURE, EMBEDDING = 0.2, 64
JITTER = 0.4  # of brightness, contrast and saturation
GREY = 0.2  # share of views without colours

Kind = Literal["mae", "supervised", "simclr"]


class MaskedAutoencoder(nn.Module):
    """MAE: predict the pixels of the patches that the encoder has not seen.

    Args:
        vit: timm's ViT, with a class token and a table of positions.
        num_classes: Not used: the twins have one signature.
    """

    def __init__(self, vit: Any, num_classes: int) -> None:
        super().__init__()
        del num_classes
        self.vit = vit
        self.side = vit.patch_embed.patch_size[0]
        self.enter = nn.Linear(vit.embed_dim, DECODER_WIDTH)
        self.mask_token = nn.Parameter(0.02 * torch.randn(DECODER_WIDTH))
        self.positions: Tensor
        self.register_buffer("positions", positions(vit, DECODER_WIDTH), persistent=False)
        heads = DECODER_WIDTH // DECODER_HEAD
        self.blocks = nn.Sequential(*(Block(DECODER_WIDTH, heads) for _ in range(DECODER_DEPTH)))
        self.norm = nn.LayerNorm(DECODER_WIDTH)
        self.leave = nn.Linear(DECODER_WIDTH, 3 * self.side**2)

    @override
    def forward(
        self, images: Float[Tensor, "b 3 h w"], labels: Int[Tensor, " b"], draws: torch.Generator
    ) -> Float[Tensor, ""]:
        del labels
        kept = draw_kept(len(images), self.vit.patch_embed.num_patches, draws).to(images.device)
        targets = normalised_patches(images, self.side)
        return masked_loss(self.reconstruct(images, kept), targets, kept)

    def reconstruct(
        self, images: Float[Tensor, "b 3 h w"], kept: Int[Tensor, "b k"]
    ) -> Float[Tensor, "b n v"]:
        """Predict every patch from the kept ones."""
        vit, width = self.vit, DECODER_WIDTH
        tokens = vit.patch_embed(images) + vit.pos_embed[:, 1:]
        tokens = tokens.gather(1, kept.unsqueeze(2).expand(-1, -1, tokens.shape[2]))
        first = (vit.cls_token + vit.pos_embed[:, :1]).expand(len(images), -1, -1)
        seen = self.enter(vit.norm(vit.blocks(vit.norm_pre(torch.cat([first, tokens], 1)))))
        blank = self.mask_token.to(seen.dtype).expand(len(images), len(self.positions), -1)
        where = kept.unsqueeze(2).expand(-1, -1, width)
        patches = blank.scatter(1, where, seen[:, 1:]) + self.positions
        decoded = self.blocks(torch.cat([seen[:, :1], patches], 1))[:, 1:]
        predicted: Tensor = self.leave(self.norm(decoded))
        return predicted


class Supervised(nn.Module):
    """Cross-entropy of a linear classifier on the class token.

    Args:
        vit: timm's ViT.
        num_classes: Of the labels.
    """

    def __init__(self, vit: Any, num_classes: int) -> None:
        super().__init__()
        self.vit = vit
        self.classifier = nn.Linear(vit.embed_dim, num_classes)

    @override
    def forward(
        self, images: Float[Tensor, "b 3 h w"], labels: Int[Tensor, " b"], draws: torch.Generator
    ) -> Float[Tensor, ""]:
        del draws
        return F.cross_entropy(self.classifier(self.vit.forward_features(images)[:, 0]), labels)


class SimCLR(nn.Module):
    """Joint embedding: two views of an image find each other among the batch's.

    Args:
        vit: timm's ViT.
        num_classes: Not used: the twins have one signature.

    Shape:
        images `(2 b, 3, h, w)`: the first views of all, then the second ones.
    """

    def __init__(self, vit: Any, num_classes: int) -> None:
        super().__init__()
        del num_classes
        self.vit = vit
        width = vit.embed_dim
        self.head = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, EMBEDDING)
        )

    @override
    def forward(
        self, images: Float[Tensor, "b 3 h w"], labels: Int[Tensor, " m"], draws: torch.Generator
    ) -> Float[Tensor, ""]:
        del labels, draws
        embedded = F.normalize(self.head(self.vit.forward_features(images)[:, 0]).float(), dim=1)
        first, second = embedded.chunk(2)
        return nt_xent(first, second, 1.0 / TEMPERATURE)


OBJECTIVES: Mapping[Kind, Callable[[Any, int], nn.Module]] = {
    "mae": MaskedAutoencoder,
    "supervised": Supervised,
    "simclr": SimCLR,
}
AREAS: Mapping[Kind, float] = {"mae": 0.5, "supervised": 0.5, "simclr": 0.2}  # smallest of a crop


def positions(vit: Any, width: int) -> Float[Tensor, "n width"]:
    """Return fixed sine and cosine positions of the patches, as MAE has them."""
    table: Tensor = build_sincos2d_pos_embed(list(vit.patch_embed.grid_size), width)
    return table


def draw_kept(count: int, num_patches: int, draws: torch.Generator) -> Int[Tensor, "b k"]:
    """Draw the patches that the encoder sees, a quarter of each image's."""
    num_kept = num_patches - int(MASKED * num_patches)
    return torch.rand(count, num_patches, generator=draws).argsort(1)[:, :num_kept]


def normalised_patches(images: Float[Tensor, "b 3 h w"], side: int) -> Float[Tensor, "b n v"]:
    """Cut images into patches of zero mean and unit variance, row by row."""
    patches = F.unfold(images.float(), side, stride=side).mT
    mean, variance = patches.mean(2, keepdim=True), patches.var(2, keepdim=True)
    return (patches - mean) / (variance + FLAT).sqrt()


def masked_loss(
    predicted: Float[Tensor, "b n v"], targets: Float[Tensor, "b n v"], kept: Int[Tensor, "b k"]
) -> Float[Tensor, ""]:
    """Return the mean squared error of the patches that were not kept."""
    errors = (predicted.float() - targets).square().mean(2)
    hidden = torch.ones_like(errors).scatter(1, kept, 0.0)
    return (errors * hidden).sum() / hidden.sum()


def draw_views(
    images: UInt8[Tensor, "b 3 h w"], kind: Kind, draws: torch.Generator
) -> Float[Tensor, "m 3 h w"]:
    """Return what an objective sees of images, in [0, 1]: crops, mirrored or not, and jittered.

    SimCLR gets two views of each, so that m is 2 b; else it is b.
    """
    pixels = images.float() / 255.0
    if kind == "simclr":
        pixels = torch.cat([pixels, pixels])
    crops = _crop(pixels, AREAS[kind], draws)
    return _jitter(crops, draws) if kind == "simclr" else crops


def _crop(pixels: Tensor, smallest: float, draws: torch.Generator) -> Tensor:
    share, ratio, right, down, mirror = torch.rand(5, len(pixels), generator=draws)
    side = (smallest + (1.0 - smallest) * share).sqrt()
    stretch = (4.0 / 3.0) ** (ratio - 0.5)  # aspect from 3/4 to 4/3
    wide, high = (side * stretch).clamp(max=1.0), (side / stretch).clamp(max=1.0)
    none = torch.zeros_like(wide)
    across = torch.stack(
        [torch.where(mirror < 0.5, -wide, wide), none, (1 - wide) * (2 * right - 1)]
    )
    along = torch.stack([none, high, (1 - high) * (2 * down - 1)])
    places = torch.stack([across, along]).permute(2, 0, 1).to(pixels.device)  # (b, 2, 3)
    grid = F.affine_grid(places, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)


def _jitter(pixels: Tensor, draws: torch.Generator) -> Tensor:
    rand = torch.rand(4, len(pixels), 1, 1, 1, generator=draws).to(pixels.device)
    bright, contrast, saturation = 1.0 + JITTER * (2.0 * rand[:3] - 1.0)
    saturation = torch.where(rand[3] < GREY, 0.0, saturation)
    pixels = pixels * bright
    mean = pixels.mean((1, 2, 3), keepdim=True)
    pixels = mean + contrast * (pixels - mean)
    grey = pixels.mean(1, keepdim=True)
    return (grey + saturation * (pixels - grey)).clamp(0.0, 1.0)
