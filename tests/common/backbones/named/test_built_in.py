"""Every built-in name stands for an encoder that the installed libraries have."""

import pytest

from toolkit_common.backbones.ids import STATISTICS, parse_backbone_id
from toolkit_common.backbones.listing import published_names
from toolkit_common.backbones.named.alias import NAME
from toolkit_common.backbones.named.built_in import BUILT_IN
from toolkit_common.images.transforms import IMAGENET_MEAN

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
