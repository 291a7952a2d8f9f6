"""From a published row to the command that measures it."""

from pathlib import Path

import pytest

from conftest import write_image_folder
from helpers.leaderboards import STAND_IN
from toolkit_common.errors import InputError
from toolkit_common.study.commands import find_command
from toolkit_common.study.file import read_study
from toolkit_common.study.grid import expand
from toolkit_probing.published.reproduction import (
    CELL,
    STUDY,
    refuse_other,
    reproduction_of,
)
from toolkit_probing.published.rows import read_published
from toolkit_probing.published.settings import ReproduceSettings


def made(name, published=None, **settings):
    return reproduction_of(name, published or read_published(), ReproduceSettings(**settings))


def cell_of(reproduction):
    study = read_study(STUDY, tuple(reproduction.assignments))
    (cell,) = expand(study, Path("runs"), find_command)
    assert cell.place == Path("runs") / CELL
    return cell


@pytest.fixture
def stand_in(tmp_path):
    (tmp_path / "rows.yaml").write_text(STAND_IN)
    return read_published(tmp_path / "rows.yaml")


def test_the_settings_are_the_protocol_s_and_the_row_s():
    reproduction, notes = made("mae-vit-b-16", data="imagefolder:/data/imagenet")
    settings = cell_of(reproduction).resolved.settings
    assert settings.protocol == "ep-paper"
    assert settings.method == ("knn", "linear", "ep")
    assert settings.backbone == "timm:vit_base_patch16_224.mae?final_norm=none"
    assert (settings.vectors, settings.tokens) == (("cls",), ("patches",))
    assert settings.options["ep"]["num_queries"] == (32,)
    assert (settings.options["knn"]["k"], settings.options["knn"]["temperature"]) == (
        (20,),
        (0.07,),
    )
    assert (settings.epochs, settings.optimizer, settings.select_on) == (90, "lars", "test")
    assert notes == []


@pytest.mark.slow
def test_every_row_whose_encoder_is_known_gives_a_right_command():
    published = read_published()
    known = [name for name, row in published.rows.items() if row.backbone is not None]
    assert len(known) == 30
    for name in known:
        method = "ep" if "eva02-clip" in name else "linear,knn"
        reproduction, _ = made(name, method=method, weights="own.pth")
        settings = cell_of(reproduction).resolved.settings
        assert settings.backbone.endswith("weights=own.pth")


def test_weights_and_data_have_their_place_until_they_are_named():
    reproduction, notes = made("ibot-vit-b-16")
    assert reproduction.backbone == "timm:vit_base_patch16_224?final_norm=none&weights=WEIGHTS"
    assert reproduction.data == "imagefolder:IMAGENET"
    assert [note.split()[0] for note in notes] == ["--data", "--weights"]
    with pytest.raises(InputError, match="--run needs --data FOLDER: your ImageNet-1k"):
        refuse_other(reproduction)
    with pytest.raises(InputError, match="--run needs --weights FILE: those of iBOT ViT-B/16"):
        refuse_other(made("ibot-vit-b-16", data="lesions")[0])


def test_a_folder_is_an_image_folder(tmp_path):
    assert made("mae-vit-b-16", data=str(tmp_path))[0].data == f"imagefolder:{tmp_path}"


def test_what_is_published_of_projected_features_is_left_out(stand_in):
    reproduction, notes = made("clip-vit-b-16")
    assert reproduction.methods == ["knn", "linear"]
    assert notes[0].startswith("ep left out: published of features projected")
    assert cell_of(reproduction).resolved.settings.vectors == ("pooled",)
    with pytest.raises(InputError, match="nothing of own-vit is left to measure: knn, linear, ep"):
        made("own-vit", stand_in)


def test_random_layers_of_the_published_encoder_are_said():
    _, notes = made("dinov3-vit-b-16", data="lesions")
    assert notes[0].startswith("published with random RoPE rescaling in the frozen encoder")


def test_an_encoder_that_no_library_has_is_asked_for():
    with pytest.raises(InputError, match=r"capi-vit-l-14 \(CAPI ViT-L/14\) is neither timm's nor"):
        made("capi-vit-l-14")
    assert made("capi-vit-l-14", backbone="python:mine:build")[0].backbone == "python:mine:build"


def test_a_method_without_published_figures_is_refused():
    with pytest.raises(InputError, match="figures of knn, linear, ep, got method 'abmilp'"):
        made("mae-vit-b-16", method="abmilp")
    with pytest.raises(InputError, match=r"only linear and ep can be judged, .* is knn"):
        refuse_other(made("mae-vit-b-16", method="knn", data="lesions")[0])


@pytest.mark.slow
def test_another_encoder_or_other_data_are_refused_before_anything_runs(stand_in, tmp_path):
    for split, count in (("train", 6), ("val", 4)):
        write_image_folder(tmp_path / "set" / split, per_class=count)
    data = str(tmp_path / "set")
    refuse_other(made("tiny-vit", stand_in, data=data, weights="own.pth")[0])
    other = {"data": data, "backbone": "timm:vit_tiny_patch16_224", "weights": "own.pth"}
    with pytest.raises(InputError, match="its linear has 386 parameters, the published one 130"):
        refuse_other(made("tiny-vit", stand_in, **other)[0])
    with pytest.raises(
        InputError, match=r"is not dark and light, of which the row is: .* training"
    ):
        refuse_other(made("tiny-vit", stand_in, data=f"{data}/train", weights="own.pth")[0])
