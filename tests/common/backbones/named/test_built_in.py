"""Every built-in name stands for an encoder that the installed libraries have."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from toolkit_common.backbones.from_open_clip import open_clip
from toolkit_common.backbones.ids import STATISTICS, parse_backbone_id
from toolkit_common.backbones.listing import published_names
from toolkit_common.backbones.load import load_backbone
from toolkit_common.backbones.named.alias import NAME
from toolkit_common.backbones.named.built_in import BUILT_IN
from toolkit_common.images.transforms import IMAGENET_MEAN
from toolkit_common.runs.files import write_json

ON_THE_HUB = {"dermlip", "whylesionclip"}
DERMATOLOGY = {"panderm-base", "panderm-large", "dermlip", "dermlip-panderm", "monet",
               "whylesionclip", "swavderm"}  # fmt: skip


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_name_stands_for_a_valid_id(name: str) -> None:
    assert NAME.fullmatch(name)
    assert parse_backbone_id(name).short_name == name


@pytest.mark.slow
def test_names_without_a_file_have_published_weights() -> None:
    published = set(published_names())
    plain = {name for name, alias in BUILT_IN.items() if "weights" not in alias.options}
    assert {name for name in plain if BUILT_IN[name].place not in published} == ON_THE_HUB


def test_dermatologys_encoders_are_there_with_note_and_licence() -> None:
    assert set(BUILT_IN) >= DERMATOLOGY
    assert all(BUILT_IN[name].note and BUILT_IN[name].licence for name in DERMATOLOGY)


@pytest.mark.parametrize(
    ("name", "statistics"),
    [
        ("panderm-base", STATISTICS["imagenet"]),
        ("panderm-large", STATISTICS["imagenet"]),
        ("monet", STATISTICS["imagenet"]),
        ("dermlip-panderm", STATISTICS["clip"]),
        ("swavderm", (IMAGENET_MEAN, (0.228, 0.224, 0.225))),
        ("dermlip", None),  # the Hub's config says it
    ],
)
def test_the_input_is_the_one_of_their_authors(name: str, statistics: object) -> None:
    assert parse_backbone_id(name).statistics == statistics


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "repository", "tower", "side"),
    [
        ("dermlip", "redlessone/DermLIP_ViT-B-16", "ViT-B-16", 14),
        ("whylesionclip", "yyupenn/whylesionclip", "ViT-L-14", 16),
    ],
)
def test_a_clip_of_the_hub_is_read_from_its_cache(
    name: str, repository: str, tower: str, side: int, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Its patch size and input, two narrow layers of random weights, in the layout of the Hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots/abc"
    for path in (folder / "refs", snapshot):
        path.mkdir(parents=True)
    (folder / "refs/main").write_text("abc")
    config = open_clip.get_model_config(tower)
    assert config is not None
    config["embed_dim"] = 8
    config["vision_cfg"] |= {"layers": 2, "width": 64, "head_width": 64}
    config["text_cfg"] |= {"layers": 1, "width": 8, "heads": 1, "vocab_size": 9,
                           "context_length": 4}  # fmt: skip
    own = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2]}
    write_json(snapshot / "open_clip_config.json", {"model_cfg": config, "preprocess_cfg": own})
    model = open_clip.CLIP(**config)
    save_file(model.state_dict(), snapshot / "open_clip_model.safetensors")
    backbone = load_backbone(name)
    facts = backbone.info.facts
    assert (facts.grid, facts.embed_dim, facts.pooled_dim) == ((side, side), 64, 8)
    assert facts.pools_class_token
    assert backbone.encoder.preprocess.mean == tuple(own["mean"])
    weights = dict(backbone.encoder.model.named_parameters())["class_embedding"]
    assert torch.equal(weights, model.visual.class_embedding)
