"""Text that comes from data is text: in the terminal, in tables to paste, in pages."""

import csv
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from helpers.probe_runs import TINY
from helpers.small_data import write_images
from toolkit_common.cli.app import app

EVIL = "<script>alert(1)</script>\x1b[2J|x"
COLUMN = "<b>site</b>\x1b[31m"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table whose classes, patients, cells and columns steer terminals, and a run on it."""
    root = tmp_path_factory.mktemp("hostile")
    names = [f"<i>{row:02d}\x1b[31m.png" for row in range(24)]
    write_images(root, *names)
    with (root / "table.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "label", "group", COLUMN])
        rows.writerows(
            [name, [EVIL, "plain"][at % 2], f"p{at // 2}\x1b[5m", ["arm", EVIL][at // 4 % 2]]
            for at, name in enumerate(names)
        )
    previous = Path.cwd()
    os.chdir(root)
    words = ["probe", *TINY, "--data", "csv:table.csv", "--method", "linear,knn", "--no-report"]
    made = CliRunner().invoke(app, [*words, "-o", "run"], prog_name="toolkit")
    os.chdir(previous)
    assert made.exit_code == 0, made.output
    assert "\x1b" not in made.output
    return root


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["predict", "--from", "run", "--images", "<i>00\x1b[31m.png", "--allow-seen"],
        ["predict", "--from", "run", "--data", "csv:table.csv", "--allow-seen", "--json"],
        *(["report", "run", "--format", form, "--by", COLUMN]
          for form in ("table", "csv", "md", "json", "latex")),
        ["report", "run", "--metric", "confusion", "--format", "md"],
        ["compare", "run"], ["compare", "run", "--rows", "linear,knn"],
        ["data", "describe", "csv:table.csv"], ["runs", "ls", "."],
    ],
)  # fmt: skip
def test_no_command_sends_what_data_hold_to_the_terminal(
    words: list[str], hostile: Path, run_cli: Callable[..., Result], monkeypatch
) -> None:
    monkeypatch.chdir(hostile)
    result = run_cli(*words)
    assert result.exit_code in (0, 2), result.output
    assert result.exit_code == 0 or "--metric" in words or words[0] == "compare", result.output
    assert not any(char in result.output for char in "\x1b\x07\x9b")
    if "md" in words:
        assert "<script>" not in result.output
        assert "<b>" not in result.output


@pytest.mark.slow
def test_audits_show_it_as_text(
    hostile: Path, run_cli: Callable[..., Result], tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(hostile)
    result = run_cli("data", "audit", "csv:table.csv", "-o", tmp_path / "audit")
    assert result.exit_code in (0, 3), result.output
    assert "\x1b" not in result.output
    for path in (tmp_path / "audit").iterdir():
        text = path.read_text(encoding="utf-8")
        assert "\x1b" not in text
        assert "<script>alert" not in text or path.suffix == ".json"
    assert r"\<script\>alert" in (tmp_path / "audit" / "audit.md").read_text(encoding="utf-8")
