"""Tables of a run's recalls to paste, with what forbids to believe them."""

import csv
import io
import shutil

import pytest

from toolkit_common.runs.files import read_json
from toolkit_slimp.reports.finished import read_finished
from toolkit_slimp.reports.formats import FORMATS, heads, table_rows, to_json

pytestmark = pytest.mark.slow


def test_a_table_has_a_row_a_search_with_interval_and_chance(root):
    rows = table_rows(read_finished(root / "run"))
    assert [row[0] for row in rows] == [
        "lesion: image to metadata", "lesion: metadata to image",
        "patient: lesions to patient", "patient: patient to lesions",
    ]  # fmt: skip
    assert len(heads()) == 5
    assert all(len(row) == 5 and row[1][5:7] == " [" for row in rows)


def test_every_format_says_what_forbids_to_believe_it(root):
    finished = read_finished(root / "run")
    for name, write in FORMATS.items():
        text = write(finished)
        assert "Random start: the image encoder knows nothing" in text, name
        assert "Few: 6 held-out images, 3 held-out groups" in text, name
    assert FORMATS["md"](finished).count("\n| ") == 6
    assert "\\caption{\\textbf{Random start: " in FORMATS["latex"](finished)
    lines = list(csv.DictReader(io.StringIO(FORMATS["csv"](finished))))
    figures = read_json(root / "run/results.json")["held_out"]
    assert float(lines[0]["recall"]) == pytest.approx(figures["val_lesion_recall_at_1"])
    assert float(lines[0]["chance"]) == pytest.approx(figures["val_lesion_recall_at_1_chance"])
    assert to_json(finished)["held_out"] == figures


def test_without_held_out_images_the_stored_figures_stand_without_intervals(run):
    shutil.rmtree(run / "held_out")
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("table.csv", "gone.csv"))
    finished = read_finished(run)
    figures = read_json(run / "results.json")["held_out"]
    assert table_rows(finished)[0][1] == f"{figures['val_lesion_recall_at_1']:.3f}"
    assert "Held-out images could not be encoded: no intervals." in FORMATS["md"](finished)
