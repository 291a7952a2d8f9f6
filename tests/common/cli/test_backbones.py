"""`toolkit backbones` lists encoders with their sizes, without weights or the network."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from conftest import assert_bad_input

RunCli = Callable[..., Result]


def actual(run_cli: RunCli, *arguments: str) -> list[dict[str, Any]]:
    result = run_cli("backbones", *arguments, "--json")
    assert result.exit_code == 0, result.output
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


def names(run_cli: RunCli, *arguments: str) -> list[str]:
    return [row["name"] for row in actual(run_cli, *arguments)]


def test_all_names_are_listed_by_a_star_and_none_is_built(run_cli: RunCli) -> None:
    rows = actual(run_cli, "*")
    assert len(rows) > 2000
    listed = {row["name"] for row in rows}
    assert {"monet", "timm:vit_base_patch16_224.mae", "open_clip:ViT-B-16@openai"} <= listed
    assert {row["parameters"] for row in rows} == {None}


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("vit_*_patch16_224.mae", "timm:vit_base_patch16_224.mae"),
        ("ViT-B-16@open*", "open_clip:ViT-B-16@openai"),
        ("vit-b-16@openai", "open_clip:ViT-B-16@openai"),
    ],
)
def test_a_pattern_or_a_part_of_a_name_selects(run_cli: RunCli, pattern: str, name: str) -> None:
    rows = actual(run_cli, pattern)
    assert name in [row["name"] for row in rows]
    assert len(rows) <= 4
    assert all(row["parameters"] > 80e6 for row in rows)


def test_without_a_pattern_short_names_are_listed(run_cli: RunCli) -> None:
    result = run_cli("backbones")
    assert "monet             open_clip:ViT-L-14-quickgelu" in result.stdout.splitlines()
    assert "toolkit backbones --aliases" in result.stderr


def test_a_pattern_that_fits_none_says_so(run_cli: RunCli) -> None:
    assert actual(run_cli, "no_such_encoder") == []
    result = run_cli("backbones", "no_such_encoder")
    assert result.stdout == ""
    assert "0 encoders of 'no_such_encoder'" in result.stderr


def test_filters_look_at_sizes(run_cli: RunCli) -> None:
    listed = names(run_cli, "test_*", "--dim", "64", "--patch", "16")
    assert "timm:test_vit.r160_in1k" in listed
    assert "timm:test_convnext.r160_in1k" not in listed
    assert names(run_cli, "mae-*", "--max-params", "100") == ["mae-base"]
    assert names(run_cli, "patch16_224.mae", "--aliases", "--max-params", "100") == ["mae-base"]


def test_local_ones_are_those_whose_weights_are_here(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_text("weights")
    (tmp_path / "f.yaml").write_text("mine: {id: timm:test_vit, weights: w.pth}")
    (row,) = actual(run_cli, "mine", "--local", "--encoders", str(tmp_path / "f.yaml"))
    assert row["weights"] == str(tmp_path / "w.pth")
    assert row["id"] == f"timm:test_vit?weights={tmp_path}/w.pth&name=mine"
    assert names(run_cli, "swavderm", "--local") == []


def test_too_many_to_build_are_refused(run_cli: RunCli) -> None:
    assert_bad_input(run_cli("backbones", "--dim", "384"), "encoders would be built", "at most 400")
