"""What a leaderboard says of an encoder."""

import pytest

from helpers.leaderboards import encoder
from toolkit_common.backbones.cards import RULES
from toolkit_probing.leaderboard.facts import (
    NOT_KNOWN,
    architecture_of,
    called,
    family_of,
    pretraining_of,
)


@pytest.mark.parametrize("objective", sorted({rule.objective for rule in RULES}))
def test_every_objective_of_a_card_has_a_family(objective):
    assert family_of(encoder("a", card={"objective": objective})) != NOT_KNOWN


@pytest.mark.parametrize(
    ("objective", "family"),
    [
        ("self-distillation (DINO)", "JEA"),
        ("self-distillation (DINOv2)", "Hybrid"),
        ("nested contrastive (SLIMP)", "images and metadata"),
        ("supervised", "supervised"),
        ("unknown, taken as supervised", NOT_KNOWN),
        ("something (of mine)", NOT_KNOWN),
    ],
)
def test_the_family_is_that_of_the_objective(objective, family):
    assert family_of(encoder("a", card={"objective": objective})) == family


@pytest.mark.parametrize(
    ("place", "architecture", "pretraining"),
    [
        ("timm:vit_base_patch16_224.augreg_in21k", "ViT-B/16", "augreg_in21k"),
        ("timm:vit_base_patch14_reg4_dinov2.lvd142m", "ViT-B/14", "lvd142m"),
        ("timm:vit_7b_patch16_dinov3.lvd1689m", "ViT-7B/16", "lvd1689m"),
        ("timm:deit3_large_patch16_224.fb_in1k", "ViT-L/16", "fb_in1k"),
        ("timm:resnet50.a1_in1k", "resnet50", "a1_in1k"),
        ("open_clip:ViT-B-16@openai", "ViT-B/16", "openai"),
        ("open_clip:ViT-L-14-quickgelu@dfn2b", "ViT-L/14", "dfn2b"),
        ("open_clip:EVA02-E-14@laion2b", "EVA02-E-14", "laion2b"),
        ("runs/derm", "derm", "derm"),
    ],
)
def test_architecture_and_weights_are_read_off_the_id(place, architecture, pretraining):
    one = encoder("a", place)
    assert (architecture_of(one), pretraining_of(one, {})) == (architecture, pretraining)
    assert pretraining_of(one, {place: "IN-1K"}) == "IN-1K"


def test_a_file_of_weights_is_what_an_encoder_was_trained_by():
    one = encoder("a", "timm:vit_base_patch16_224?weights=/home/me/own.pth")
    assert pretraining_of(one, {"timm:vit_base_patch16_224": "IN-1K"}) == "own.pth"
    assert pretraining_of(encoder("a", random_weights=True), {}) == "none"
    assert family_of(encoder("a", random_weights=True)) == "untrained"
    assert called(encoder("runs/derm/mine")) == "mine"
