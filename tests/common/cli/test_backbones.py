"""`toolkit backbones` lists encoders with published weights, without the network."""

import json
from collections.abc import Callable

import pytest
from typer.testing import Result

RunCli = Callable[..., Result]


def actual(run_cli: RunCli, *pattern: str) -> list[str]:
    result = run_cli("backbones", *pattern, "--json")
    assert result.exit_code == 0
    return json.loads(result.stdout)


def test_all_are_listed_without_a_pattern(run_cli: RunCli) -> None:
    names = actual(run_cli)
    assert len(names) > 1000
    assert {name.partition(":")[0] for name in names} == {"timm", "open_clip"}
    assert "timm:vit_base_patch16_224.mae" in names
    assert "open_clip:ViT-B-16@laion2b_s34b_b88k" in names


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("dinov2", "timm:vit_small_patch14_dinov2.lvd142m"),
        ("vit_*_patch16_224.mae", "timm:vit_base_patch16_224.mae"),
        ("ViT-B-16@*", "open_clip:ViT-B-16@openai"),
        ("vit-b-16@openai", "open_clip:ViT-B-16@openai"),
    ],
)
def test_a_pattern_or_a_part_of_a_name_selects(run_cli: RunCli, pattern: str, name: str) -> None:
    names = actual(run_cli, pattern)
    assert name in names
    assert len(names) < 100
    words = [word for word in pattern.lower().split("*") if word]
    assert all(word in item.lower() for item in names for word in words)


def test_a_pattern_that_fits_none_says_so(run_cli: RunCli) -> None:
    assert actual(run_cli, "no_such_encoder") == []
    result = run_cli("backbones", "no_such_encoder")
    assert result.stdout == ""
    assert result.stderr.startswith("0 of ")
    assert "match '*no_such_encoder*'" in result.stderr


def test_names_are_on_stdout_and_the_count_on_stderr(run_cli: RunCli) -> None:
    result = run_cli("backbones", "vit_base_patch16_224.mae")
    assert result.stdout == "timm:vit_base_patch16_224.mae\n"
    assert result.stderr.startswith("1 of ")
