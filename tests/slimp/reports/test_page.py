"""The page of a pre-training run: the answer first, nothing loaded, nobody named, text escaped."""

import re
from pathlib import Path

import pandas as pd
import pytest

from helpers.saved_runs import write_results
from helpers.slimp_run import pretrain
from toolkit_common.runs.files import read_json
from toolkit_slimp.reports.finished import read_finished
from toolkit_slimp.reports.page import write_html

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(root) -> str:
    return (root / "run/report.html").read_text()


def test_a_page_begins_with_the_claim_and_what_forbids_to_believe_it(page):
    claim = re.search(r'<p class="claim">([^<]+)</p>', page)[1]
    assert "held-out groups" in claim  # the table has no column patient_id
    assert page.index('class="claim"') < page.index('class="warning"') < page.index("<h2>")
    warnings = re.findall(r'<p class="warning">([^<]+)</p>', page)
    assert [text.partition(":")[0] for text in warnings] == [
        "Random start",
        "Leaks were read",
        "Few",
    ]


def test_its_sections_come_in_their_order(page):
    assert re.findall(r"<h2>([^<]+)</h2>", page) == [
        "Losses", "Recall against chance", "Spread and gradients", "Map of held-out images",
        "Neighbours across modalities", "Metadata that it reads", "What was seen",
        "What was kept, and how it was trained", "Provenance", "To cite",
    ]  # fmt: skip
    for text in ("Standard deviation of the kept state", "lambda 0.6", "as confidential as the"):
        assert text in page


def test_a_page_loads_nothing_and_names_no_patient_and_no_image(page, root):
    loaded = re.findall(r"(?:src|href|url\()[=\s\"']*([^\s\"'>)]+)", page)
    assert {place[:15] for place in loaded if place[0] != "#"} == {"data:image/jpeg"}
    table = pd.read_csv(root / "table.csv")
    held_out = table[table["split"] == "val"]
    text = re.sub(r"data:image/jpeg;base64,[^\"]+", "", page)
    for name in [*held_out["image"], *held_out["group"]]:
        assert not re.search(rf"\b{re.escape(name)}\b", text), name


def test_text_from_data_is_escaped(page):
    assert page.count("<script>") == page.count("</script>") == 1  # the page's own
    assert "&lt;/script&gt;&lt;script&gt;alert(" in page


def test_missing_cells_stand_in_the_table_of_columns(page):
    row = re.search(r'<td class="name">age</td>.*?</tr>', page, re.DOTALL)[0]
    shares = re.findall(r'data-value="([^"]+)"', row)
    # 2 of 9 training patients, 1 of 3 held-out ones: two images each.
    assert [float(share) for share in shares] == pytest.approx([2 / 9, 0, 1 / 3, 0])


def test_a_continued_run_lists_what_learns_and_whom_it_continues(root, tmp_path, run_cli):
    run = tmp_path / "run"
    done = run_cli(
        "pretrain", "slimp", "--from", root / "run", "--train", "norms", "--report", "--epochs", 1,
        "--data", f"csv:{root / 'table.csv'}", "--patients-per-batch", 4, "--output", run,
        "--allow-leaks", "size_mm",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    page = (run / "report.html").read_text()
    assert "SLIMP on csv (licence: unknown, steps: 3, train: all, start: random" in page
    assert re.search(r"image: attention and MLP blocks: norms</td><td>yes</td>", page)
    assert re.search(r"image: attention and MLP blocks</td><td>no</td>", page)
    count = len(pd.read_csv(run / "trainable.csv"))
    assert f"All {count} tensors" in page
    assert "How metadata columns start" in page


def test_a_page_of_a_run_of_before_says_what_it_can(run, tmp_path):
    results = read_json(run / "results.json")
    for name in ("sizes", "missing", "ancestors", "people", "seen", "start_is_random", "kept"):
        del results[name]
    write_results(run, results)
    write_html(tmp_path / "page.html", read_finished(run))
    text = (tmp_path / "page.html").read_text()
    assert "held-out patients" in text
    assert "Random start" in text  # as its settings say


def test_a_page_made_from_elsewhere_has_the_pictures_of_data_named_from_where_it_began(
    root, tmp_path, monkeypatch
):
    monkeypatch.chdir(root)
    pretrain("csv:table.csv", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    write_html(tmp_path / "page.html", read_finished(Path("run")))  # which encodes, too
    assert "data:image/jpeg" in (tmp_path / "page.html").read_text()
