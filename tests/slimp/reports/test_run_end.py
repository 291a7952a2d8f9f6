"""A run ends with its page and its table, and with the same figures and weights as without."""

import pytest

from helpers.slimp_run import pretrain
from toolkit_common.runs.files import read_json, sha256_of
from toolkit_slimp.reports import run_end

pytestmark = pytest.mark.slow


def test_a_run_ends_with_a_page_a_table_and_its_held_out_patients(root):
    run = root / "run"
    named = set(read_json(run / "manifest.json"))
    kept = {"held_out/embeddings.safetensors", "held_out/rows.parquet"}
    assert {"report.html", "summary.md", *kept} <= named
    assert "<svg" in (run / "report.html").read_text()
    summary = (run / "summary.md").read_text()
    assert summary.startswith("# run\n\n**Random start: ")
    assert "\\begin{tabular}{lrrrr}" in summary
    # What is handed on holds nothing of it.
    handed_on = {path.name for path in (run / "encoder").iterdir()}
    weights = {"encoder.safetensors", "slimp.safetensors", "seen.safetensors"}
    assert handed_on == {*weights, "config.json", "encoder.json", "schema.json"}
    assert "report" not in read_json(run / "encoder/encoder.json")["provenance"]["settings"]


def test_without_the_page_figures_and_weights_are_the_same(root, tmp_path):
    plain = pretrain(f"csv:{root / 'table.csv'}", tmp_path / "run", "--lesion-weight", "0.6")
    assert not (plain / "report.html").exists()
    assert not (plain / "held_out").exists()
    assert read_json(plain / "results.json") == read_json(root / "run/results.json")
    for name in ("encoder.safetensors", "slimp.safetensors"):
        assert sha256_of(plain / "encoder" / name) == sha256_of(root / "run/encoder" / name)


def test_without_vl_convert_there_is_a_table_and_one_line_names_the_extra(
    root, tmp_path, monkeypatch
):
    monkeypatch.setattr(run_end, "is_installed", lambda _: False)
    run = pretrain(f"csv:{root / 'table.csv'}", tmp_path / "run", "--report")
    assert not (run / "report.html").exists()
    assert (run / "summary.md").exists()
    line = "run: no report.html, as vl-convert is not installed: pip install 'toolkit-slimp[plots]'"
    assert line in (run / "log.txt").read_text()
