"""Licences of published weights: of a short name, of timm, or unknown."""

import pytest

from toolkit_common.backbones.named.licences import NONE, weights_licence


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("random", NONE),
        ("timm:vit_base_patch16_224.mae", "cc-by-nc-4.0"),
        ("timm:vit_base_patch16_224.mae?weights=own.pth", "unknown"),
        ("timm:deit3_base_patch16_224?weights=x.pth&name=panderm-base", "CC BY-NC-ND 4.0"),
        ("timm:hf-hub:ORG/REPO", "unknown"),
        ("open_clip:ViT-B-16@openai", "unknown"),
        ("somewhere/encoder", "unknown"),
        ("timm:no_such_model", "unknown"),
    ],
)
def test_the_licence_is_that_of_the_weights(text: str, licence: str) -> None:
    assert weights_licence(text) == licence
