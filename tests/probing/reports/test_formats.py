"""Tables to paste, and what forbids to believe them above."""

import csv
import io
import json

from helpers.saved_runs import write_results
from toolkit_common.runs.files import read_json


def test_markdown_has_figures_with_intervals_below_what_forbids_to_believe_them(run_cli, runs):
    text = run_cli("report", runs / "a", "--metric", "auroc", "--format", "md").stdout
    assert text.startswith("**Random weights: the figures judge no trained encoder.**\n")
    row = read_json(runs / "a/results.json")["rows"][0]["metrics"]["auroc"]
    low, high = row["ci"]
    line = next(line for line in text.splitlines() if line.startswith("| linear \u00b7 layer 2 |"))
    assert f"| {row['mean']:.3f} \\[{low:.2f}, {high:.2f}\\] |" in line
    assert text.index("**Tiny") < text.index("| method | AUROC | parameters |")


def test_a_table_to_paste_calls_rows_of_fewer_labels_as_the_terminal_does(run_cli, copied):
    folder = copied / "a"
    results = read_json(folder / "results.json")
    results["rows"][0] |= {"labels": "2 shots", "num_train": [4]}
    write_results(folder, results)
    table = run_cli("report", folder, "--metric", "auroc", "--format", "md").stdout
    names = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()
             if line.startswith("| ")][2:]  # fmt: skip
    assert "linear \u00b7 layer 2 \u00b7 2 shots" in names
    shown = " ".join(run_cli("report", folder, "--metric", "auroc").stdout.split())
    for name in names:
        assert name in shown


def test_latex_is_a_table_whose_caption_warns(run_cli, runs):
    options = ["--metric", "auroc", "--format", "latex", "--by", "site"]
    text = run_cli("report", runs / "a", *options).stdout
    assert text.startswith("\\begin{table}\n\\caption{\\textbf{Random weights: ")
    assert "\\begin{tabular}{llrr}" in text
    assert "site: back & " in text
    assert "95 \\% intervals" in text


def test_csv_is_a_row_a_row_with_ends_of_intervals_and_warnings(run_cli, runs):
    text = run_cli("report", runs / "a", "--metric", "auroc,top1", "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    stored = read_json(runs / "a/results.json")
    stored = [*stored["rows"], *stored["baselines"]]
    assert [row["row"] for row in rows] == [row["name"] for row in stored]
    for row, known in zip(rows, stored, strict=True):
        assert float(row["auroc"]) == known["metrics"]["auroc"]["mean"]
        assert [float(row["top1_low"]), float(row["top1_high"])] == known["metrics"]["top1"]["ci"]
        assert row["warnings"].startswith("Random weights")


def test_json_is_that_of_the_option(run_cli, runs):
    one = run_cli("report", runs / "b", "--metric", "top1", "--format", "json").stdout
    assert json.loads(one) == json.loads(
        run_cli("report", runs / "b", "--metric", "top1", "--json").stdout
    )


def test_no_table_and_no_page_names_a_folder_of_the_machine(run_cli, runs, tmp_path):
    page = tmp_path / "page.html"
    run_cli("report", runs / "a", "--metric", "auroc", "-o", page)
    for text in (page.read_text(), *(
        run_cli("report", runs / "a", "--metric", "auroc", "--format", name).stdout
        for name in ("md", "latex", "csv")
    )):  # fmt: skip
        assert str(runs) not in text
        assert str(tmp_path) not in text


def test_names_stay_text_in_every_format(run_cli, copied):
    results = read_json(copied / "b/results.json")
    results["data"]["label"] = "a|b_<i>\n\\x\x1b"
    write_results(copied / "b", results)
    text = run_cli("report", copied / "b", "--metric", "top1", "--format", "md").stdout
    assert "a\\|b\\_\\<i\\>\\\\n\\\\x\\\\x1b" in text
    text = run_cli("report", copied / "b", "--metric", "top1", "--format", "latex").stdout
    assert "a|b\\_<i>\\textbackslash{}n\\textbackslash{}x\\textbackslash{}x1b" in text
