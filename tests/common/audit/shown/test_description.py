"""A description in a terminal, at any width."""

from pathlib import Path

import pytest

from helpers.shown_audit import shown_data
from helpers.small_data import build_data, write_images
from helpers.snapshots import assert_fits, assert_snapshot
from toolkit_common.audit.describe import describe_data
from toolkit_common.audit.shown.description import describe_verdict, fact_lines, print_description
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.sources.load import load_data

SHOWN = Path(__file__).parent / "shown"


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_a_description_is_readable_at_any_width(width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    data = shown_data()
    print_description(describe_data(data), data.sheet)
    shown = capsys.readouterr().out
    assert_fits(shown, width)
    assert_snapshot(shown, SHOWN / f"describe-{width}.txt")


def test_the_verdict_comes_first_and_says_what_forbids_to_probe():
    described = describe_data(build_data(["a", "b"] * 10))
    assert describe_verdict(described) == "Can be probed: 1 label to predict"
    split = describe_data(build_data(["a", "b"]))
    assert describe_verdict(split).startswith("Cannot be split: cannot split 2 images into")
    nothing = describe_data(build_data([None] * 20))
    assert describe_verdict(nothing) == (
        "No label to predict: for pre-training without labels alone"
    )


def test_an_image_that_is_not_there_is_counted_and_named(tmp_path, run_cli):
    write_images(tmp_path, *(f"{name}.png" for name in range(20)))
    rows = [f"{name}.png,{'ab'[name % 2]}" for name in range(20)]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["image,label", *rows]))
    assert "absent" not in describe_data(load_data(f"csv:{table}"))
    (tmp_path / "7.png").unlink()
    said = (
        "Cannot be read whole: of 20 images 1 is not there (first: 7.png); correct names of files"
    )
    assert describe_verdict(describe_data(load_data(f"csv:{table}"))).startswith(said)
    assert said in run_cli("data", "describe", f"csv:{table}").stdout
    assert said.split(":")[1] in page_of(run_cli, table, tmp_path / "page.html")


def page_of(run_cli, table, page):
    assert run_cli("data", "describe", f"csv:{table}", "--page", page).exit_code == 0
    return page.read_text()


@pytest.mark.parametrize(
    ("key", "name"),
    [("patient_id", " by patient"), ("lesion_id", " by lesion"), ("other", "")],
)
def test_what_groups_are_is_printed(key, name):
    groups = [f"p{row // 2}" for row in range(20)]
    described = describe_data(build_data(["a", "b"] * 10, groups=groups, **{key: groups}))
    assert described["grouped_by"] == (key if name else None)
    assert f"20 in 10 groups{name} (median 2" in dict(fact_lines(described))["images"]


@pytest.mark.parametrize("word", ["nv [/x]", "[red]nv", ":smile:", "[link=x]"])
def test_words_of_files_are_no_markup(word, capsys):
    columns = (Column(word, "patient", "numeric"),)
    sheet = Sheet(word, source=word, doi=word, licence=word, columns=columns, notes=(word,))
    data = build_data([word, "b"] * 10, sheet=sheet, **{word: ["1", "2"] * 10})
    print_description(describe_data(data), data.sheet)
    out = capsys.readouterr().out
    assert out.count(word) == 7  # title, licence, source, doi, label, column, note
    assert f"label label: {word} 10" in out
