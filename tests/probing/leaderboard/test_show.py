"""Leaderboards as they are shown: looked at in every width, and as tables to paste."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.leaderboards import encoder, methods, on_imagenet, run
from helpers.shown_results import row
from helpers.snapshots import assert_fits, assert_snapshot
from toolkit_common.console import result_console
from toolkit_common.scores.statistics import Estimate
from toolkit_probing.leaderboard.boards import Board, build_boards
from toolkit_probing.leaderboard.show import show_boards, to_csv, to_json, to_latex, to_markdown
from toolkit_probing.published.rows import read_published

SHOWN = Path(__file__).parent / "shown"


def own() -> list[Board]:
    """Encoders with all that makes a table hard to print."""
    undefined = row("knn-layer12-cls", "knn", 0.5, num_parameters=0)
    undefined = replace(
        undefined,
        metrics={
            **undefined.metrics,
            "auroc": Estimate(None, None, None, (), why_no_ci="undefined"),
        },
    )
    runs = [
        run("runs/a", methods(0.6), encoder("dinov2-base-reg")),
        run("runs/b", [*methods(0.7, seen="seen")[1:], undefined],
            encoder("whylesionclip", "open_clip:ViT-L-14@openai", card={"objective": "x (CLIP)"})),
        run("runs/c", methods(0.5)[:2], encoder("untrained", random_weights=True)),
        run("runs/d", [*methods(0.65), row("abmilp", "abmilp", 0.71, selected="selected on test")],
            encoder("a | clinic's <own>", "timm:convnext_base.fb_in22k")),
    ]  # fmt: skip
    return build_boards(runs, metrics=["auroc"], published=[])


def beside() -> list[Board]:
    """Two encoders beside the published rows."""
    runs = [on_imagenet("runs/a", 0.7, "mae-base"), on_imagenet("runs/b", 0.81, "clinic-vit")]
    return build_boards(runs, published=[read_published()])


@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize("boards", [own, beside])
def test_a_leaderboard_is_readable_at_any_width(boards, width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    show_boards(boards(), result_console(as_json=False))
    shown = capsys.readouterr().out
    assert_fits(shown, width)
    assert_snapshot(shown, SHOWN / f"leaderboard-{boards.__name__}-{width}.txt")


def test_every_part_of_a_table_says_which_weights_are_random(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    show_boards(own(), result_console(as_json=False))
    shown = capsys.readouterr().out
    assert shown.count("untrained\nRANDOM") == 0  # a row of its own, not a cell that ran over
    parts = sum(line.startswith("\u2500") for line in shown.splitlines())
    assert sum(line.startswith("RANDOM WEIGHTS ") for line in shown.splitlines()) == parts


def test_markdown_and_latex_hold_the_same_table():
    assert_snapshot(to_markdown(own()), SHOWN / "leaderboard-own.md")
    assert_snapshot(to_latex(own()), SHOWN / "leaderboard-own.tex")
    assert "published" in to_markdown(beside())


def test_csv_has_a_line_for_each_encoder_and_method():
    lines = list(csv.DictReader(io.StringIO(to_csv(beside()))))
    assert len(lines) == 3 * 39
    best = lines[0]
    assert (best["encoder"], best["measured"]) == ("DINOv3 ViT-7B/16", "published")
    assert best["stochastic"] == "random RoPE rescaling"
    ours = [line for line in lines if line["measured"] == "here"]
    assert {line["runs"] for line in ours} == {"runs/a", "runs/b"}
    ep = next(line for line in ours if line["method"] == "ep" and line["encoder"] == "clinic-vit")
    assert (float(ep["value"]), ep["parameters"]) == (pytest.approx(0.86), "1383400")


def test_json_has_boards_with_rows_baselines_and_notes():
    (board,) = json.loads(json.dumps(to_json(own())))
    assert {entry["encoder"] for entry in board["rows"]} >= {"untrained", "whylesionclip"}
    assert board["baselines"]["metadata baseline"]["value"] == pytest.approx(0.85 + 0.03, abs=0.1)
    assert "ranked by EP, then linear, then k-NN" in board["notes"]
