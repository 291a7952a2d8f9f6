"""`toolkit report RUN` of a pre-training run."""

import json
import re

import pytest

from conftest import assert_bad_input
from helpers.snapshots import assert_fits

pytestmark = pytest.mark.slow


def test_it_prints_the_answer_the_table_and_the_next_step(root, run_cli):
    done = run_cli("report", root / "run")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert "held-out groups" in lines[0]
    assert "Random start: " in lines[1]
    assert re.search(r"lesion: image to metadata +\d\.\d{3} \[", done.stdout)
    assert f"next: toolkit probe --method ep,linear,knn --backbone {root / 'run'}" in (done.stdout)


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_a_figure_stands_with_its_interval_at_every_width(width, root, run_cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    shown = run_cli("report", root / "run").stdout
    assert_fits(shown, width)
    assert len(re.findall(r"\d\.\d{3} \[\d\.\d\d, \d\.\d\d\]", shown)) >= 4


def test_it_writes_the_same_page_again(root, run_cli, tmp_path):
    done = run_cli("report", root / "run", "--output", tmp_path / "page.html", "--format", "json")
    assert done.exit_code == 0, done.output
    shown = json.loads(done.stdout)
    page = (tmp_path / "page.html").read_text()
    assert f'<p class="claim">{shown["claim"]}'.replace("'", "&#39;")[:60] in page
    kept = (root / "run/report.html").read_text()
    marks = ("<svg", "<img", "<h2>", "<tr>", 'class="warning"')
    assert [page.count(mark) for mark in marks] == [kept.count(mark) for mark in marks]


def test_what_is_of_probes_alone_is_refused(root, run_cli):
    run = root / "run"
    message = "--by and --metric are of probe runs"
    assert_bad_input(run_cli("report", run, "--by", "site"), message)
    assert_bad_input(run_cli("report", run, "--metric", "top1"), message)
    assert_bad_input(run_cli("report", run, run), "is reported alone: give one such run")
