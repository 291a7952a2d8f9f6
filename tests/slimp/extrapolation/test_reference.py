"""What may be a reference, and what is refused."""

from pathlib import Path

import pytest

from conftest import assert_bad_input
from helpers.similar_lesions import shuffle_columns, swap_splits, write_lesions
from helpers.slimp_run import pretrain

pytestmark = pytest.mark.slow


def test_a_reference_whose_held_out_patients_were_trained_on_is_refused(
    extrapolate, lesions, tmp_path
):
    data = swap_splits(f"csv:{lesions / 'table.csv'}", lesions / "against.csv")
    rows = [line.split(",") for line in (lesions / "against.csv").read_text().splitlines()]
    splits = tmp_path / "splits.csv"
    splits.write_text("\n".join(["image_id,split", *(f"{row[0]},{row[3]}" for row in rows[1:])]))
    given = ["--reference", data, "--reference-splits", splits]
    assert_bad_input(extrapolate(*given), "held-out", "--reference-splits", "--allow-seen")
    assert extrapolate(*given, "--allow-seen").exit_code == 0


def test_the_run_splits_its_own_data_set_whatever_its_table_says_now(extrapolate, lesions):
    moved = (lesions / "table.csv").read_text().replace(",val,", ",test,")
    (lesions / "moved.csv").write_text(moved)
    result = extrapolate("--reference", f"csv:{lesions / 'moved.csv'}")
    assert result.exit_code == 0, result.output
    assert "reference splits: given by splits.csv" in result.stderr


def test_splits_of_the_run_that_another_has_changed_are_refused(extrapolate, lesions):
    splits = lesions / "run/splits.csv"
    whole = splits.read_text()
    splits.write_text(whole.replace(",val", ",test"))
    try:
        result = extrapolate("--reference", f"csv:{lesions / 'table.csv'}")
        assert_bad_input(result, f"{splits} is not as the run wrote it (manifest.json")
    finally:
        splits.write_text(whole)


def test_another_data_set_is_a_reference_by_its_own_splits(extrapolate, lesions):
    result = extrapolate("--reference", write_lesions(lesions, name="other", prefix="o", seed=5))
    assert result.exit_code == 0, result.output
    assert "reference splits: given\n" in result.stderr
    assert "60 lesions of 30 training patients; 60 of 30 held-out ones" in result.stderr


def test_no_label_decides_who_is_held_out_of_another_data_set(extrapolate, lesions, tmp_path):
    """Splits of it are made, from its groups alone."""
    write_lesions(lesions, name="whole", prefix="w", patients=220, seed=6)
    rows = [line.split(",") for line in (lesions / "whole.csv").read_text().splitlines()]
    whole = lesions / "unsplit.csv"
    whole.write_text("\n".join(",".join([*row[:3], *row[4:]]) for row in rows) + "\n")
    shuffled = shuffle_columns(f"csv:{whole}", lesions / "shuffled.csv", ["label", "answer"])
    for data, name in ((f"csv:{whole}", "a"), (shuffled, "b")):
        result = extrapolate("--reference", data, data=data, name=f"{name}.parquet")
        assert result.exit_code == 0, result.output
        assert "reference splits: made: grouped, 60/20/20" in result.stderr
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_reference_without_the_columns_is_refused(extrapolate, lesions):
    lines = (lesions / "table.csv").read_text().splitlines()
    bare = "\n".join(",".join(line.split(",")[:4]) for line in lines)
    (lesions / "bare.csv").write_text(bare + "\n")
    result = extrapolate("--reference", f"csv:{lesions / 'bare.csv'}")
    assert_bad_input(result, "none of the columns", "shade, level, luck")


def test_splits_of_a_bank_are_refused(extrapolate, lesions):
    result = extrapolate("--reference-splits", lesions / "run/splits.csv")
    assert_bad_input(result, "--reference-splits", "the bank of the run has its own")


def test_a_bank_of_another_site_is_refused(extrapolate, tmp_path, monkeypatch):
    (tmp_path / "secret").write_text("ab" * 32)
    (tmp_path / "secret").chmod(0o600)
    monkeypatch.setenv("TOOLKIT_SITE_SECRET", str(tmp_path / "secret"))
    assert_bad_input(extrapolate(), "secret of another site", "--reference", "--allow-seen")


def test_a_damaged_bank_is_refused(extrapolate, lesions):
    bank = lesions / "run/encoder/bank.parquet"
    whole = bank.read_bytes()
    bank.write_bytes(whole[:-1])
    try:
        assert_bad_input(extrapolate(), "bank.parquet is missing or damaged")
    finally:
        bank.write_bytes(whole)


def test_a_run_without_a_bank_wants_a_reference_and_one_without_columns_another_level(
    run_cli, tmp_path
):
    data = write_lesions(tmp_path, patients=10)
    path = Path(data.removeprefix("csv:"))
    lines = [line.split(",") for line in path.read_text().splitlines()]
    path.write_text("\n".join(",".join([*line[:4], line[8]]) for line in lines) + "\n")
    run = pretrain(data, tmp_path / "aged", allow_leaks="age")
    words = ["extrapolate", "slimp", "--from", run, "--data", data, "-o", "f.parquet"]
    assert_bad_input(run_cli(*words), "no lesion columns to extrapolate", "--level")
    assert_bad_input(run_cli(*words, "--level", "patient"), "no patient columns")
