"""What is left over is grouped, and judged by what it is known to be."""

import pytest
import torch
from torch import nn

from toolkit_common.backbones.weights.left_over import describe_groups, find_left_over
from toolkit_common.backbones.weights.trials import try_prefixes

ENCODER = ["stem.weight", "blocks.0.norm.weight", "blocks.1.norm.weight", "layer1.0.conv.weight"]


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (["blocks.2.norm.weight", "blocks.3.norm.weight", "blocks.4.x"], ["blocks.2 to blocks.4"]),
        (["blocks.2.norm.weight"], ["blocks.2"]),
        (["blocks.0.ls.gamma", "blocks.1.ls.gamma"], ["blocks.*.ls.gamma (2)"]),
        (["layer1.1.conv.weight", "layer2.0.conv.weight"], ["layer1.1", "layer2"]),
        (["head.fc.weight", "head.fc.bias", "queue"], ["head (2)", "queue"]),
        ([], []),
    ],
)
def test_names_are_grouped_as_people_name_them(names: list[str], groups: list[str]) -> None:
    assert describe_groups(names, ENCODER) == groups


class Encoder(nn.Module):
    """An encoder with a block that is called as open_clip's text tower is."""

    def __init__(self, *, rope: bool = False) -> None:
        super().__init__()
        self.transformer = nn.ModuleList([nn.Linear(2, 2)])
        self.rope = nn.Identity() if rope else None


def kinds(name: str, *, prefix: str = "", rope: bool = False) -> str | None:
    model = Encoder(rope=rope)
    state = {prefix + own: value for own, value in model.state_dict().items()}
    trial = try_prefixes(model, {**state, name: torch.ones(2)}, None)[0]
    kind = find_left_over(trial, model, twins=[]).kinds[name]
    return kind.title if kind else None


def test_a_text_tower_is_one_beside_a_vision_tower_and_a_block_within_it() -> None:
    assert kinds("transformer.1.weight", prefix="visual.") == "text tower"
    assert kinds("visual.transformer.1.weight", prefix="visual.") is None
    assert kinds("transformer.1.weight") is None


def test_a_rotary_buffer_is_harmless_where_the_encoder_computes_it() -> None:
    assert kinds("rope.periods", rope=True) == "derived buffer"
    assert kinds("rope.periods") is None


def test_what_a_prefix_shares_is_no_part_of_a_name() -> None:
    assert kinds("module.student.head.mlp.0.weight", prefix="module.student.backbone.") == "head"
    assert kinds("module.teacher.head.weight", prefix="module.student.backbone.") == "momentum twin"
