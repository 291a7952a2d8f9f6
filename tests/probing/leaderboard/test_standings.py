"""What stands in a leaderboard."""

import pytest

from helpers.leaderboards import encoder, run
from helpers.shown_results import row
from toolkit_common.errors import InputError
from toolkit_common.scores.statistics import Estimate
from toolkit_probing.leaderboard.standings import (
    Judged,
    figure_of,
    from_published,
    known_pretraining,
    measured,
)
from toolkit_probing.published.rows import read_published


def test_the_figure_is_what_its_interval_is_of():
    one = row("ep", "ep", 0.5)
    folded = {"top1": Estimate(0.5, 0.1, (0.4, 0.7), (0.5,), pooled=0.6)}
    assert figure_of(row("ep", "ep", 0.5), "auroc").value == one.metrics["auroc"].mean
    assert figure_of(type(one)(**{**vars(one), "metrics": folded}), "top1").value == 0.6
    with pytest.raises(InputError, match="no metric 'f1'"):
        figure_of(one, "f1")


def test_encoders_of_one_name_are_told_apart_by_their_folders():
    one = row("ep", "ep", 0.5)
    judged = [
        Judged([run(f"runs/{name}", [one], encoder("mine", f"clinic/{name}/mine"))], {"ep": one})
        for name in ("a", "b")
    ]
    names = [item.encoder for item in measured(judged, "auroc", known={})]
    assert names == ["mine \u00b7 a", "mine \u00b7 b"]


def test_published_figures_are_shares_without_intervals():
    standings = list(from_published(read_published()))
    assert len(standings) == 37
    mae = next(item for item in standings if item.encoder == "MAE ViT-B/16")
    assert mae.figures["ep"].value == pytest.approx(0.7546)
    assert mae.figures["ep"].interval is None
    assert mae.figures["linear"].parameters == 769_000
    assert {item.origin for item in standings} == {"published"}


def test_what_a_library_s_weights_were_trained_on_is_known_by_their_id():
    known = known_pretraining([read_published()])
    assert known["timm:vit_base_patch16_224.mae"] == "IN-1K"
    assert known["open_clip:ViT-B-16@openai"] == "WIT-400M"
    # An architecture alone says nothing of the weights in a file.
    assert "timm:vit_base_patch16_224" not in known
