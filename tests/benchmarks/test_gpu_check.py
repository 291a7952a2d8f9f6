"""The check of a GPU runs where there is none, as far as that goes, and says so otherwise."""

import pytest
import torch

import gpu_check
from gpu_check import TINY, Bench


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_without_a_gpu_it_says_how_to_rehearse(monkeypatch):
    monkeypatch.setattr("sys.argv", ["gpu_check.py"])
    with pytest.raises(SystemExit, match=r"no GPU here: .* --device cpu --tiny"):
        gpu_check.main()


@pytest.mark.slow
def test_a_part_that_fails_leaves_the_others_their_turn(monkeypatch, capsys, tmp_path):
    def fails(bench):
        raise RuntimeError(f"on {bench.device}")

    parts = {"first": fails, "second": lambda bench: [{"width": bench.sizes.shape[2]}]}
    monkeypatch.setattr(gpu_check, "PARTS", parts)
    arguments = ["gpu_check.py", "--device", "cpu", "--tiny", "--output", str(tmp_path)]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit, match="failed: first"):
        gpu_check.main()
    assert "| 64 |" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())  # results are those of a GPU


@pytest.mark.parametrize(("more", "written"), [([], True), (["--tiny"], False)])
def test_sizes_that_take_no_time_are_no_results(more, written, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu_check, "Bench", lambda device, sizes: sizes)
    monkeypatch.setattr(gpu_check, "PARTS", {"EP": lambda sizes: [{"width": sizes.shape[2]}]})
    monkeypatch.setattr("sys.argv", ["gpu_check.py", "--output", str(tmp_path), *more])
    gpu_check.main()
    assert (tmp_path / "gpu.md").exists() is written


def test_waits_are_counted_a_step():
    values = torch.ones(2)
    counts = Bench(torch.device("cpu"), TINY).counts(lambda: values.sum().item())
    assert counts["waits"] == 1


@pytest.mark.slow
def test_a_bank_takes_a_step():
    step = gpu_check.bank_step(Bench(torch.device("cpu"), TINY), 2)
    step()


def test_marked_tests_are_looked_for():
    marked = [file.name for file in (gpu_check.ROOT / "tests").rglob("test_*.py")
              if gpu_check._is_marked(file)]  # fmt: skip
    assert {"test_contract.py", "test_loop.py", "test_store.py", "test_step.py"} <= set(marked)
