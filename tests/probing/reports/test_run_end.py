"""What a finished run is read by."""

from dataclasses import replace

import pytest

from helpers.small_data import build_data
from toolkit_common.runs.files import read_json
from toolkit_probing.reports import run_end
from toolkit_probing.reports.recomputed import build_report
from toolkit_probing.reports.run_end import METRICS, stored_report, write_reports
from toolkit_probing.results.saved import read_run


@pytest.mark.slow
def test_a_probe_ends_with_a_page_a_table_and_a_log(run_cli, image_folder, tmp_path):
    options = ["--backbone", "timm:test_vit?image_size=32", "--method", "linear,knn"]
    data = ["--data", f"imagefolder:{image_folder}", "-o", tmp_path / "run"]
    done = run_cli("probe", *options, "--random-init", "--epochs", 1, *data, "--report")
    assert done.exit_code == 0, done.output
    page = (tmp_path / "run/report.html").read_text()
    assert "Linear probing" in page
    assert page.count("<img") == 8  # four a class
    assert "checked by this run" in page
    summary = (tmp_path / "run/summary.md").read_text()
    assert summary.startswith("# run\n\n**Random weights: ")
    assert "\\begin{tabular}" in summary
    log = (tmp_path / "run/log.txt").read_text()
    assert "RANDOM WEIGHTS" in log  # before the folder was there
    assert all(line in done.stderr for line in log.splitlines())
    files = {"report.html", "summary.md", "log.txt"}
    assert files <= set(read_json(tmp_path / "run/manifest.json"))


def test_the_figures_of_a_run_are_reported_as_they_stand(runs):
    saved = read_run(runs / "a")
    report = stored_report(saved)
    again = build_report([runs / "a"], metrics=METRICS)
    for item, other in zip(report.rows, again.rows, strict=True):
        means = {name: metric.mean for name, metric in other.metrics.items()}  # of stored fp32
        assert {name: metric.mean for name, metric in item.metrics.items()} == pytest.approx(means)
    sizes = [(item.num_images, item.num_groups) for item in again.rows]
    assert [(item.num_images, item.num_groups) for item in report.rows] == sizes
    assert "auroc" not in stored_report(saved, with_ranking=False).metrics


def test_without_vl_convert_there_is_a_table_and_one_line_names_the_extra(
    copied, monkeypatch, capsys
):
    monkeypatch.setattr(run_end, "is_installed", lambda _: False)
    saved = read_run(copied / "b")
    write_reports(copied / "b", saved.results, build_data(["dark", "light"]))
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "b: no report.html, as vl-convert is not installed: pip install 'toolkit-probing[plots]'"
    )
    assert (copied / "b/summary.md").exists()
    assert not (copied / "b/report.html").exists()


def test_predictions_too_many_to_hold_have_no_page(copied, capsys):
    saved = read_run(copied / "b")
    data = replace(saved.results.data, sizes={"test": 1 << 30})
    write_reports(copied / "b", replace(saved.results, data=data), build_data(["dark", "light"]))
    assert "probabilities are too many to draw" in capsys.readouterr().err
    assert not (copied / "b/summary.md").exists()
