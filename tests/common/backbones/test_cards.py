"""Which tokens a probe reads follows from what an encoder is, by written rules."""

from dataclasses import replace

import pytest

from toolkit_common.backbones.cards import RULES, choose_card
from toolkit_common.backbones.contract import Card, EncoderFacts
from toolkit_common.backbones.load import load_backbone
from toolkit_common.errors import InputError

VIT = EncoderFacts(
    architecture="timm:vit",
    embed_dim=8,
    grid=(2, 2),
    num_prefix_tokens=1,
    has_class_token=True,
    has_attention_pool=False,
    pools_class_token=True,
    pooled_dim=8,
    depth=2,
)
MEAN_POOLED = replace(VIT, pools_class_token=False)
NO_CLASS_TOKEN = replace(MEAN_POOLED, has_class_token=False, num_prefix_tokens=0)
ATTENTION_POOLED = replace(MEAN_POOLED, has_attention_pool=True)


@pytest.mark.parametrize(
    ("text", "facts", "linear", "ep", "objective"),
    [
        ("timm:vit_base_patch16_224.mae", VIT, "cls", "patches", "MAE"),
        ("timm:hiera_base_224.mae", NO_CLASS_TOKEN, "mean", "patches", "MAE"),
        ("timm:vit_small_patch16_224.dino", VIT, "cls", "all", "DINO"),
        ("timm:vit_base_patch14_dinov2.lvd142m", VIT, "cls", "all", "DINOv2"),
        ("timm:vit_small_patch14_reg4_dinov2.lvd142m", VIT, "cls", "all", "DINOv2"),
        ("timm:vit_base_patch16_dinov3.lvd1689m", MEAN_POOLED, "cls", "all", "DINOv3"),
        ("timm:vit_base_patch16_siglip_224.webli", NO_CLASS_TOKEN, "mean", "patches", "SigLIP"),
        ("open_clip:ViT-B-16-SigLIP@webli", NO_CLASS_TOKEN, "mean", "patches", "SigLIP"),
        ("timm:vit_base_patch16_clip_224.openai", VIT, "cls", "all", "CLIP"),
        ("open_clip:ViT-B-32@openai", VIT, "cls", "all", "CLIP"),
        ("open_clip:RN50@openai", NO_CLASS_TOKEN, "mean", "patches", "CLIP"),
        ("open_clip:coca_ViT-B-32@laion2b_s13b_b90k", ATTENTION_POOLED, "mean", "patches", "CLIP"),
        ("timm:beit_base_patch16_224.in22k_ft_in22k", MEAN_POOLED, "cls", "patches", "BEiT"),
        ("timm:eva02_tiny_patch14_224.mim_in22k", MEAN_POOLED, "cls", "patches", "EVA-02"),
        ("timm:aimv2_large_patch14_224.apple_pt", NO_CLASS_TOKEN, "mean", "patches", "AIMv2"),
        ("timm:vit_base_patch16_224.augreg_in21k", VIT, "cls", "all", "supervised"),
        ("timm:vit_base_patch16_gap_224", MEAN_POOLED, "cls", "patches", "supervised"),
        ("timm:resnet50.a1_in1k", NO_CLASS_TOKEN, "mean", "patches", "supervised"),
    ],
)
def test_the_rules(text: str, facts: EncoderFacts, linear: str, ep: str, objective: str) -> None:
    card = choose_card(text, facts)
    assert (card.linear, card.ep) == (linear, ep)
    assert objective in card.objective


def test_of_an_architecture_in_a_folder_the_last_name_alone_counts() -> None:
    assert "MAE" in choose_card("timm:local-dir:/models/vit_base_patch16_224.mae", VIT).objective
    card = choose_card("timm:local-dir:/home/clip/dinov2/mine", VIT)
    assert card.objective == "unknown, taken as supervised"
    assert "CLIP" in choose_card("open_clip:local-dir:/models/mine", VIT).objective


def test_what_the_id_says_is_read_holds_over_any_rule() -> None:
    card = choose_card("timm:vit_base_patch16_224.mae?tokens=all&vectors=mean", VIT)
    assert (card.ep, card.linear, card.reason) == ("all", "mean", "as the id says")
    assert "MAE" in card.objective


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("timm:x?tokens=cls", "unknown tokens 'cls' in 'timm:x.tokens=cls'.*choose from: all"),
        ("timm:x?vectors=clss", "unknown vectors 'clss'.*did you mean 'cls'"),
        ("timm:x?tokens=all", "'timm:x.tokens=all' is to be read by a class token, and has none"),
    ],
)
def test_what_an_encoder_cannot_be_read_by_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose_card(text, NO_CLASS_TOKEN)


def test_an_attention_pooler_of_its_own_means_the_mean() -> None:
    card = choose_card("timm:anything", ATTENTION_POOLED)
    assert card.linear == "mean"
    assert "attention pooler" in card.reason


def test_options_of_an_id_do_not_change_its_card() -> None:
    plain = choose_card("timm:vit_base_patch16_224.mae", VIT)
    assert choose_card("timm:vit_base_patch16_224.mae?weights=/data/clip.dino", VIT) == plain


def test_of_weights_from_a_file_nothing_is_assumed() -> None:
    card = choose_card("timm:vit_small_patch16_224?weights=mae.pth", VIT)
    assert "supervised" not in card.objective
    assert card.objective == "unknown: a file does not say it, &objective=NAME does"
    assert (card.linear, card.ep, card.reason) == (
        "cls",
        "all",
        "class token, and the encoder pools it",
    )


@pytest.mark.parametrize(
    ("name", "ep", "objective"),
    [("mae", "patches", "(MAE)"), ("dino", "all", "(DINO)"), ("supervised", "all", "supervised")],
)
def test_an_objective_can_be_named(name: str, ep: str, objective: str) -> None:
    card = choose_card(f"timm:vit_small_patch16_224?weights=a.pth&objective={name}", VIT)
    assert card.ep == ep
    assert card.objective.endswith(objective)


def test_an_objective_that_no_rule_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        InputError, match=r"unknown objective 'deno'; did you mean 'dino'.* mae, maskfeat"
    ):
        choose_card("timm:x?objective=deno", VIT)


def test_case_does_not_matter() -> None:
    assert "SigLIP" in choose_card("OPEN_CLIP:VIT-B-16-SIGLIP", NO_CLASS_TOKEN).objective


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.pattern)
def test_no_rule_hides_behind_an_earlier_one(rule: object) -> None:
    """The id made from a rule's own pattern must reach it: order matters."""
    text = rule.pattern.replace("*", "x")  # type: ignore[attr-defined]
    assert choose_card(text, VIT).objective == rule.objective  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "linear"),
    [
        ("timm:test_vit", "cls"),
        ("timm:test_vit2", "mean"),
        ("timm:test_vit3", "mean"),
        ("timm:test_convnext", "mean"),
        ("timm:vit_small_patch16_dinov3?image_size=32", "cls"),
    ],
)
def test_real_encoders_get_the_card_of_their_facts(text: str, linear: str) -> None:
    card = load_backbone(text, random_init=True).info.card
    assert card.linear == linear
    assert isinstance(card, Card)
