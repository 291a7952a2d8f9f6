"""What learns: by `--train`, by what the losses read, and nothing else."""

import pytest
import torch

from helpers.slimp_problem import SCHEMA, build_model, build_settings
from helpers.tiny_encoders import build_map
from toolkit_common.backbones.cards import choose_card
from toolkit_common.backbones.ids import parse_backbone_id
from toolkit_common.backbones.load import build_encoder
from toolkit_common.errors import InputError
from toolkit_slimp.metadata.schema import Schema
from toolkit_slimp.model.slimp import SlimpModel, batch_norms
from toolkit_slimp.model.trainable import choose_trainable_, has_attention_blocks

VIT, CNN = "timm:test_vit?image_size=32", "timm:test_resnet?image_size=32"
HEADS = {"project_image", "project_lesion", "project_phenotype", "project_patient"}


def learning(model: SlimpModel) -> set[str]:
    """The parts that learn: of encoders the part below them, of heads the head."""
    names = [name for name, item in model.named_parameters() if item.requires_grad]
    front = ("image_encoder.model.", "lesion_encoder.", "patient_encoder.")
    short = [next((n.removeprefix(f) for f in front if n.startswith(f)), n) for n in names]
    return {name.split(".")[0] for name in short}


@pytest.mark.parametrize(
    ("train", "parts"),
    [
        ("embeddings", {"patch_embed", "pos_embed", "cls_token"}),
        ("norms", {"blocks", "norm", "transformer"}),
        ("all", {"patch_embed", "pos_embed", "cls_token", "blocks", "norm", "transformer"}),
    ],
)
def test_of_a_transformer_learns_what_was_asked_for(train, parts):
    model = build_model(VIT)
    listed = choose_trainable_(model, train)
    always = {"numbers", "words", "column_bias", "cls", *HEADS}
    assert learning(model) == parts | always
    assert {item.name for item in listed} == {name for name, _ in model.named_parameters()}
    for item in listed:
        assert item.learns == model.get_parameter(item.name).requires_grad
        assert item.size == model.get_parameter(item.name).numel()


def test_norms_are_norms_alone():
    model = build_model(VIT)
    listed = choose_trainable_(model, "norms")
    image = {item.name for item in listed if item.learns and item.name.startswith("image_")}
    assert image
    assert all("norm" in name for name in image)
    assert "image_encoder.model.blocks.0.norm1.weight" in image
    metadata = {item.name for item in listed if item.learns and "transformer" in item.name}
    assert "lesion_encoder.transformer.blocks.0.mlp_norm.weight" in metadata
    assert all("norm" in name for name in metadata)


def test_of_an_encoder_without_attention_learn_stem_and_norms():
    model = build_model(CNN)
    assert not has_attention_blocks(model)
    choose_trainable_(model, "embeddings")
    names = {
        name.removeprefix("image_encoder.model.")
        for name, item in model.named_parameters()
        if item.requires_grad and name.startswith("image_")
    }
    assert "bn1.weight" in names
    assert "layer1.0.bn1.weight" in names
    assert not any("layer" in name and ".conv" in name for name in names)
    assert any(name.startswith("conv1.") for name in names)


def test_what_no_loss_reads_is_listed_as_it_is():
    encoder, _ = build_encoder(parse_backbone_id(VIT), random_init=True)
    schema = Schema(SCHEMA.at("lesion").columns)
    model = SlimpModel(
        encoder, card=choose_card(VIT, encoder.facts), schema=schema, settings=build_settings()
    )
    listed = choose_trainable_(model, "all")
    idle = {item.name.split(".")[0] for item in listed if not item.learns}
    assert idle == {"patient_encoder", "project_phenotype", "project_patient", "log_scales"}


def test_a_level_that_nobody_has_trained_learns_whole():
    model = build_model(VIT)
    choose_trainable_(model, "embeddings", fresh=("patient",))
    assert all(item.requires_grad for item in model.patient_encoder.parameters())
    assert not any(item.requires_grad for item in model.lesion_encoder.transformer.parameters())


def test_temperatures_learn_where_the_settings_say_so():
    for on in (False, True):
        model = build_model(VIT, learn_temperature=on)
        choose_trainable_(model, "embeddings")
        assert model.log_scales.requires_grad == on


def test_an_encoder_that_would_stay_as_it_is_is_refused(monkeypatch):
    model = build_model(VIT)
    model.image_encoder.model = build_map()
    with pytest.raises(InputError, match=r"--train norms would leave .*test_vit.* --train embedd"):
        choose_trainable_(model, "norms")


def test_batch_norms_that_do_not_learn_keep_their_statistics():
    model = build_model(CNN, train="embeddings", from_run="run", random_init=False,
                        batch_norm="batch")  # fmt: skip
    choose_trainable_(model, "embeddings")
    norms = batch_norms(model.image_encoder)
    assert all(norm.training for norm in norms)  # stem and norms learn
    for parameter in norms[0].parameters():
        parameter.requires_grad = False
    assert [norm.training for norm in batch_norms(model.train().image_encoder)] == [
        False, *[True] * (len(norms) - 1),
    ]  # fmt: skip
    before = norms[0].running_mean.clone()
    model.encode_images(torch.randn(4, 3, 32, 32).double())
    assert torch.equal(norms[0].running_mean, before)
