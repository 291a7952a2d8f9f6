"""The frame of benchmarks measures what it says and writes whole reports."""

import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from lib import harness
from toolkit_common.runs.files import read_json


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


@pytest.mark.slow
def test_cpu_seconds_count_work_and_not_waiting():
    seconds = harness.cpu_seconds(
        {"work": lambda: burn(0.02), "wait": lambda: time.sleep(0.02)}, repeats=3
    )
    assert seconds["work"] >= 0.02
    assert seconds["wait"] < 0.01


def test_steps_of_less_than_the_least_time_are_repeated():
    calls = []
    harness.cpu_seconds({"a": lambda: burn(0.001) or calls.append(1)}, repeats=2, min_seconds=0.01)
    assert len(calls) > 10


def test_peak_memory_counts_what_is_held_at_once_and_not_before():
    before = torch.zeros(1 << 20)

    def step() -> None:
        first = before + 1  # 4 MiB
        second = first + 1  # 8 MiB
        del first
        second * 2  # 8 MiB again

    assert harness.peak_memory(step) == pytest.approx(8 * harness.MIB, abs=4096)


def test_command_cost_measures_a_process_of_its_own():
    cost = harness.command_cost(
        sys.executable, "-c", "a = b'x' * (64 << 20); b = sum(range(10**6))"
    )
    assert cost.peak_rss > 64 * harness.MIB
    assert 0 < cost.cpu_seconds < 30


def test_a_command_that_fails_is_an_error_that_names_it():
    with pytest.raises(RuntimeError, match=r"exit code 3 from: .*SystemExit\(3\)"):
        harness.command_cost(sys.executable, "-c", "raise SystemExit(3)")


def test_ratios_say_how_many_times_less():
    assert harness.ratios_to({"a": 6.0, "b": 2.0}, "a") == {"a": 1.0, "b": 3.0}


def test_a_report_holds_table_picture_hardware_and_no_host(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench", "--output", str(tmp_path)])
    rows = [
        {"form": "a", "ms": 1234.5, "ratio": 2.345, "count": 12_000},
        {"form": "b", "ms": 0.5, "ratio": None, "count": 1},
    ]
    path = harness.write_report(
        "x", title="Which?", rows=rows, notes=["Why."], figure=Figure(), more={"B": [{"c": "d"}]}
    )
    text = path.read_text()
    assert "| form | ms | ratio | count |\n| --- | ---: | ---: | ---: |\n" in text
    assert "| a | 1,234 | 2.35 | 12,000 |\n| b | 0.5 | - | 1 |" in text
    assert "\n\n## B\n\n| c |\n| --- |\n| d |\n\n- Why.\n" in text
    assert "- Why.\n- Made by `make bench-x` on: " in text
    assert text in capsys.readouterr().out
    report = read_json(tmp_path / "x.json")
    assert report["rows"] == rows
    assert report["B"] == [{"c": "d"}]
    assert report["hardware"]["versions"]["torch"] == version("torch")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in tmp_path.iterdir()} == {"x.json", "x.md", "x.png"}


@pytest.mark.slow
def test_the_memory_of_the_starting_process_is_not_counted() -> None:
    held = bytearray(300 * harness.MIB)
    assert harness.command_cost(sys.executable, "-S", "-c", "").peak_rss < len(held)
