"""A name that no file can have is one line of exit code 2, in whatever option it is given."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from conftest import assert_bad_input
from helpers.readers import VIT
from helpers.slimp_run import table_rows, write_table

NAMES = {
    "too long": "x" * 300,
    "a path too long": "/".join(["d" * 100] * 60),
    "NUL": "a\0b",
    "newline": "a\nb",
    "no UTF-8": "a\udcffb",
    "no user": "~nouser/x",
    "escapes": "\x1b[31mred",
}
PROBE = ["probe", "--data", "csv:table.csv", "--backbone", VIT, "--method", "knn"]
READ = [  # what is to be there, {} in each
    *(["probe", "--data", f"{front}{{}}"] for front in
      ("", "csv:", "imagefolder:", "hf:", "ph2:", "isic-2019:", "torchvision:MNIST?root=")),
    *(["probe", "--data", "csv:table.csv", "--backbone", f"{front}{{}}"] for front in
      ("", f"{VIT}&weights=", "timm:", "timm:local-dir:", "open_clip:local-dir:")),
    *([*PROBE, option, "{}"] for option in
      ("--label", "--splits", "--metadata", "--encoders", "--head", "--config", "--method",
       "--protocol")),
    ["probe", "--resume", "--output", "{}"], ["features", "--data", "csv:{}"],
    ["predict", "--from", "{}", "--images", "0.png"],
    *(["predict", "--from", "probe", option, "{}"] for option in ("--images", "--data")),
    *(["predict", "--from", "probe", "--images", "0.png", option, "{}"] for option in
      ("--row", "--method", "--backbone")),
    ["report", "{}"], ["report", "probe", "--by", "{}"], ["report", "probe", "--metric", "{}"],
    ["report", "probe", "--leaderboard", "--into", "{}.md"],
    ["compare", "{}"], ["compare", "probe", "--rows", "{},knn"], ["attention", "--from", "{}"],
    ["attention", "--from", "probe", "--head", "{}"],
    ["extrapolate", "slimp", "--from", "{}", "--data", "csv:table.csv", "-o", "t.parquet"],
    ["extrapolate", "slimp", "--from", "slimp", "--data", "csv:{}", "-o", "t.parquet"],
    ["pretrain", "slimp", "--data", "csv:{}"], ["pretrain", "slimp", "--from", "{}"],
    *(["pretrain", "slimp", "--data", "csv:table.csv", option, "{}"] for option in
      ("--metadata-schema", "--splits", "--backbone", "--ablation")),
    *(["data", name, "csv:{}"] for name in ("describe", "audit", "schema")),
    ["data", "describe", "csv:table.csv", "--label", "{}"], ["data", "make", "{}", "out"],
    ["export", "out", "--from", "{}"], ["export", "out", "--from", "slimp", "--probed", "{}"],
    ["runs", "ls", "{}"], ["runs", "rm", "{}", "-y"], ["backbones", "--inspect", "{}"],
    ["study", "plan", "{}"], ["study", "table", "{}"], ["reproduce", "{}"],
]  # fmt: skip
WRITTEN = [  # where something is to go: newlines and escapes are names that files can have
    ["runs", "ls", "{}"],
    [*PROBE, "--output", "{}"], [*PROBE, "--store-dir", "{}"],
    ["report", "probe", "--no-pictures", "--output", "{}.html"],
    ["attention", "--from", "probe", "--images", "0.png", "--output", "{}.png"],
    ["data", "describe", "csv:table.csv", "--save", "{}.yaml"],
    ["data", "schema", "csv:table.csv", "--output", "{}"],
    ["data", "make", "ph2", "{}", "--rows", "20"], ["export", "{}", "--from", "slimp"],
]  # fmt: skip


@pytest.fixture
def here(world: Path, tmp_path: Path) -> Path:
    """Hold a table, a probe and a pre-training in the present folder."""
    write_table(tmp_path / "table.csv", table_rows())
    for name in ("probe", "slimp"):
        shutil.copytree(world / name, tmp_path / name)
    return tmp_path


def check(run_cli: Callable[..., Result], words: list[str], name: str) -> None:
    result = run_cli(*(word.replace("{}", name) for word in words))
    assert_bad_input(result)
    assert "\x1b" not in result.output
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("error: "))
    assert len(line) < 1500
    assert "x" * 201 not in line


@pytest.mark.slow
@pytest.mark.parametrize("kind", NAMES)
def test_a_name_of_what_is_not_there_is_one_line(
    kind: str, here: Path, run_cli: Callable[..., Result]
) -> None:
    before = {path.name for path in here.iterdir()}
    for words in READ:
        check(run_cli, words, NAMES[kind])
    assert {path.name for path in here.iterdir()} - before <= {"cache"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["too long", "a path too long", "NUL", "no user"])
def test_a_name_that_nothing_can_be_written_to_is_one_line(
    kind: str, here: Path, run_cli: Callable[..., Result]
) -> None:
    for words in WRITTEN:
        check(run_cli, words, NAMES[kind])
    assert not (here / "~nouser").exists()
