"""MAE as its paper has it: a quarter is seen, the rest is predicted, and only the rest counts."""

import numpy as np
import pytest
import torch

from lib.objectives import (
    OBJECTIVES,
    MaskedAutoencoder,
    draw_kept,
    draw_views,
    masked_loss,
    normalised_patches,
    positions,
)
from toolkit_common.seed import generator
from toolkit_common.torchvision_ops import prepare

prepare()
import timm  # noqa: E402

SIDE, PATCHES = 4, 16


@pytest.fixture(scope="module")
def vit():
    torch.manual_seed(0)
    sizes = {"img_size": 16, "patch_size": SIDE, "embed_dim": 12, "depth": 1, "num_heads": 2}
    return timm.create_model("vit_tiny_patch16_224", num_classes=0, **sizes)


def test_a_quarter_of_the_patches_is_kept_each_once_and_differs_between_images():
    kept = draw_kept(64, 196, generator(0))
    assert kept.shape == (64, 49)
    assert all(len(set(row)) == 49 for row in kept.tolist())
    assert len({tuple(sorted(row)) for row in kept.tolist()}) == 64
    assert kept.min() == 0
    assert kept.max() == 195


def test_the_loss_is_that_of_a_loop_in_float64():
    images = torch.randn(3, 3, 16, 16, generator=generator(0, "images"))
    predicted = torch.randn(3, PATCHES, 3 * SIDE**2, generator=generator(0, "predicted"))
    kept = draw_kept(3, PATCHES, generator(0, "kept"))
    pixels, guesses = images.double().numpy(), predicted.double().numpy()
    errors = []
    for image in range(3):
        for patch in sorted(set(range(PATCHES)) - set(kept[image].tolist())):
            row, column = divmod(patch, 4)
            cut = pixels[image, :, row * 4 : row * 4 + 4, column * 4 : column * 4 + 4].reshape(-1)
            target = (cut - cut.mean()) / np.sqrt(cut.var(ddof=1) + 1e-6)
            errors.append(((guesses[image, patch] - target) ** 2).mean())
    assert len(errors) == 3 * 12
    actual = masked_loss(predicted, normalised_patches(images, SIDE), kept)
    assert actual.item() == pytest.approx(np.mean(errors), rel=1e-6)


def test_patches_that_were_seen_have_no_part_in_the_loss():
    targets = torch.randn(2, PATCHES, 48, generator=generator(0))
    kept = draw_kept(2, PATCHES, generator(1))
    predicted = torch.zeros_like(targets, requires_grad=True)
    masked_loss(predicted, targets, kept).backward()
    assert predicted.grad is not None
    has_gradient = predicted.grad.abs().sum(2) > 0
    for image in range(2):
        assert not has_gradient[image, kept[image]].any()
        assert has_gradient[image].sum() == 12


def test_what_is_hidden_reaches_no_prediction(vit):
    objective = MaskedAutoencoder(vit, 0).eval()
    images = torch.randn(1, 3, 16, 16, generator=generator(0))
    kept = draw_kept(1, PATCHES, generator(1))
    hidden = min(set(range(PATCHES)) - set(kept[0].tolist()))
    before = objective.reconstruct(images, kept)
    row, column = divmod(hidden, 4)
    images[0, :, row * 4 : row * 4 + 4, column * 4 : column * 4 + 4] += 3.0
    torch.testing.assert_close(objective.reconstruct(images, kept), before)
    row, column = divmod(int(kept[0, 0]), 4)
    images[0, :, row * 4 : row * 4 + 4, column * 4 : column * 4 + 4] += 3.0
    assert not torch.allclose(objective.reconstruct(images, kept), before)


def test_it_learns_to_infer_hidden_patches_from_those_that_it_sees():
    torch.manual_seed(0)
    sizes = {"img_size": 16, "patch_size": SIDE, "embed_dim": 24, "depth": 2, "num_heads": 2}
    small = timm.create_model("vit_tiny_patch16_224", num_classes=0, **sizes)
    with torch.no_grad():
        small.pos_embed[:, 1:] = positions(small, 24)
    scenes = torch.randn(6, 3, 16, 16, generator=generator(0, "scenes"))
    objective, none = MaskedAutoencoder(small, 0), torch.zeros(0, dtype=torch.long)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=3e-3)
    for step in range(200):
        draws = generator(0, "step", step)
        loss = objective(scenes[torch.randint(6, (32,), generator=draws)], none, draws)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        kept = draw_kept(6, PATCHES, generator(0, "held out"))
        targets = normalised_patches(scenes, SIDE)
        loss = masked_loss(objective.eval().reconstruct(scenes, kept), targets, kept)
        by_place = masked_loss(targets.mean(0).expand_as(targets), targets, kept)
        by_mean = masked_loss(torch.zeros_like(targets), targets, kept)
    assert loss < 0.1 * by_place < 0.1 * by_mean


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_every_objective_trains_all_of_the_encoder(kind, vit):
    vit.zero_grad()
    objective = OBJECTIVES[kind](vit, 5)
    images = torch.randint(256, (6, 3, 16, 16), generator=generator(0), dtype=torch.uint8)
    views = draw_views(images, kind, generator(1))
    assert views.shape == ((12 if kind == "simclr" else 6), 3, 16, 16)
    assert 0.0 <= views.min() <= views.max() <= 1.0
    loss = objective(views, torch.arange(6) % 5, generator(2))
    loss.backward()
    assert all(parameter.grad is not None for parameter in objective.parameters())


def test_views_follow_their_generator_and_cover_the_image():
    image = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(64, 3, 16, 16)
    one, other = (draw_views(image, "mae", generator(seed)) for seed in (0, 0))
    assert torch.equal(one, other)
    assert not torch.equal(one, draw_views(image, "mae", generator(1)))
    mirrored = (one[:, 0, 8, 0] > one[:, 0, 8, 15]).float().mean()
    assert 0.3 < mirrored < 0.7
