"""The plain loop of the engine's benchmark learns what `toolkit probe` learns: the same work."""

import ast
import importlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import plain_loop
from toolkit_common.backbones.load import load_backbone
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.task import load_task

VIT = "timm:test_vit?image_size=32"
ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("name", [path.stem for path in SCRIPTS])
def test_every_benchmark_finds_what_it_imports(name):
    importlib.import_module(name)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_benchmark_states_a_question_and_what_is_expected(path):
    _, _, below = (ROOT / "Makefile").read_text().partition("NO_QUESTION := ")
    if f"benchmarks/{path.name}" in below.partition("SCRIPTS")[0]:
        return
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert "?" in docstring.partition("\n")[0]
    assert "Expected" in docstring


@pytest.mark.slow
def test_the_loop_and_a_probe_end_with_the_same_head(run_cli, image_folder, tmp_path):
    data, epochs, lr = f"imagefolder:{image_folder}", 3, 0.001
    options = [
        "--lr",
        lr,
        "--epochs",
        epochs,
        "--warmup-epochs",
        1,
        "--store-dtype",
        "fp32",
        "--classifier",
        "trained",
        "--patience",
        0,
    ]
    result = run_cli("probe", "--data", data, "--backbone", VIT, "--random-init", "--method", "ep",
                     "--output", tmp_path / "run", *options)  # fmt: skip
    assert result.exit_code == 0, result.output
    settings = ProbeSettings(data=data, lr=lr, epochs=epochs, warmup_epochs=1.0)
    backbone = load_backbone(VIT, random_init=True)
    loop = plain_loop.PlainLoop(backbone, load_task(settings), settings)
    loop.run_()
    seen = len(loop.task.splits.train) // loop.plan.batch_size * loop.plan.batch_size
    assert loop.num_encoded == seen + len(loop.task.splits.val)
    (path,) = (tmp_path / "run/heads").glob("*.safetensors")
    expected = load_file(path)
    actual = {name: loop.head.state_dict()[name] for name in expected}
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-5)
