"""docs/python.md and the quick start of the README run exactly as they are printed."""

import re
from pathlib import Path
from typing import Any

import pytest

from helpers.repository import ROOT

BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
PAGE = ROOT / "docs/python.md"
QUICK_START = ROOT / "README.md"


def blocks(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:values that no training row had:UserWarning")
def test_the_blocks_of_the_page_run_one_after_the_other(run_cli, own_folder, capsys) -> None:
    tiny = ["-b", "timm:test_vit?image_size=64", "--random-init", "--steps", "1"]
    done = run_cli("pretrain", "slimp", *tiny, "--output", "runs/derm")
    assert done.exit_code == 0, done.output
    names: dict[str, Any] = {}
    for block in blocks(PAGE):
        exec(block, names)
    shown = capsys.readouterr().out
    assert "torch.Size([2, 100, 64]) torch.Size([2, 1, 64]) (10, 10)" in shown
    assert "('benign', 'malignant')" in shown
    assert "ep-num_queries4-layer6-" in shown
    assert (own_folder / "runs/from-python/DONE").exists()
    assert names["similarity"].shape == (2, len(names["data"]))


@pytest.mark.slow
def test_the_quick_start_runs_as_it_is_printed(capsys) -> None:
    (code,) = blocks(QUICK_START)
    assert len(code.splitlines()) <= 10
    exec(code, {})
    assert "linear-layer6-" in capsys.readouterr().out
