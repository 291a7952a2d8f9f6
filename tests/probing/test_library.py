"""`probe()` is `toolkit probe` from Python: the same figures; nothing printed or left behind."""

import gc
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import write_image_folder
from toolkit_common import Backbone, InputError, load_backbone, load_data
from toolkit_common.console import console
from toolkit_probing import ProbeResult, probe

VIT = "timm:test_vit?image_size=32"
FAST = {"method": "linear,knn,ep", "epochs": 1, "ep": {"num_queries": [2]}, "knn": {"k": 3},
        "report": False}  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> str:
    return f"imagefolder:{write_image_folder(tmp_path_factory.mktemp('own') / 'images')}"


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone(VIT, random_init=True)


@pytest.fixture(scope="module")
def result(images, backbone) -> ProbeResult:
    return probe(backbone, load_data(images), **FAST)


@pytest.mark.slow
def test_the_figures_are_those_of_the_command(result, run_cli, images, tmp_path) -> None:
    done = run_cli("probe", "-b", VIT, "--random-init", "-d", images, "-m", "linear,knn,ep",
                   "--epochs", 1, "--set", "ep.num_queries=2", "--set", "knn.k=3",
                   "--output", tmp_path / "run", "--json")  # fmt: skip
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["rows"]
    frame = result.to_frame()
    assert [*frame["name"]] == [row["name"] for row in rows]
    for name in ("top1", "auroc", "log_loss"):
        expected = [row["metrics"][name]["mean"] for row in rows]
        np.testing.assert_array_equal(frame[name], expected)
        lows = [(row["metrics"][name]["ci"] or [None])[0] for row in rows]
        np.testing.assert_array_equal(frame[f"{name}_low"], np.array(lows, float))
    assert frame["top5"].isna().all()
    assert [*frame["method"]] == ["linear", "ep", "knn"]
    assert frame["random_weights"].all()
    # What was loaded is named in the run's settings as the command names it.
    command = (tmp_path / "run/config.yaml").read_text().splitlines()
    ours = (result.path / "config.yaml").read_text().splitlines()
    values = [[line.partition("  #")[0] for line in lines] for lines in (command, ours)]
    assert values[0] == values[1]


@pytest.mark.slow
def test_probabilities_are_by_image_and_label(result) -> None:
    frame = result.to_frame()
    read = result.predictions(frame["name"][0])
    assert [*read.columns] == ["dark", "light"]
    assert read.index.names == ["image_id", "label"]
    labels = read.index.get_level_values("label")
    assert (read.idxmax(axis=1) == labels).mean() == pytest.approx(frame["top1"][0])
    with pytest.raises(InputError, match="unknown row 'linea'; choose from: ep-num_queries2-"):
        result.predictions("linea")
    with pytest.raises(InputError, match="has 1 repeats, from 0, got 1"):
        result.predictions(frame["name"][0], repeat=1)


@pytest.mark.slow
def test_a_temporary_run_goes_with_its_result_and_prints_nothing(images, backbone, capsys) -> None:
    made = probe(backbone, load_data(images), method="knn", device="cpu", precision="bf16")
    path = made.path
    assert (path / "DONE").exists()
    capsys.readouterr()  # of the data set, which says what it chose
    assert not console.quiet
    made.show()
    assert "RANDOM WEIGHTS" in capsys.readouterr().out
    again = probe(VIT, images, random_init=True, method="knn")  # another precision, one process
    assert isinstance(again.to_frame(), pd.DataFrame)
    assert capsys.readouterr() == ("", "")
    del made
    gc.collect()
    assert not path.exists()
    assert again.path.exists()


@pytest.mark.slow
def test_a_run_folder_is_written_continued_and_replaced_where_that_is_asked_for(
    images, tmp_path
) -> None:
    place = tmp_path / "run"
    asked = {"random_init": True, "method": ["knn"], "output": place}
    probe(VIT, images, **asked)
    with pytest.raises(InputError, match=r"run folder .*run exists: add --resume"):
        probe(VIT, images, **asked)
    assert probe(VIT, images, **asked, resume=True).path == place
    probe(VIT, images, **asked | {"knn": {"k": np.array([1, 3])}}, overwrite=True, verbose=True)
    assert "k:" in (place / "config.yaml").read_text()
    assert not (place / ".lock").exists()


def test_layers_of_a_loaded_backbone_are_read_and_it_stays_as_it_was(images, backbone) -> None:
    made = probe(backbone, images, method="knn", layers=[1, -1])
    assert [*made.to_frame()["layer"]] == [1, backbone.info.facts.depth]
    assert (backbone.info.id, backbone.info.layers) == (VIT, (backbone.info.facts.depth,))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "eep"}, "unknown method 'eep'; did you mean 'ep'"),
        ({"epochz": 3}, r"probe\(\): unknown setting epochz; did you mean 'epochs'"),
        ({"epochs": "many"}, r"epochs: .* got 'many' \(from probe\(\)\)"),
        ({"random_init": True}, r"random_init is of loading, .* give it to load_backbone\(\)"),
        ({"data": "imagefolder:none"}, "none"),
        ({"backbone": "timm:nothing"}, "nothing"),
        ({"ep": {"num_querys": 3}}, "unknown option of ep 'num_querys'"),
    ],
)
def test_bad_input_is_named_and_leaves_no_folder(
    images, backbone, change, message: str, monkeypatch, tmp_path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    given = {"backbone": backbone, "data": images} | change
    with pytest.raises(InputError, match=message):
        probe(**given)
    assert not [*tmp_path.glob("toolkit-probe-*")]


def test_how_labels_count_belongs_to_loading_the_data(images, backbone) -> None:
    message = r"premalignant_as is of loading, and the data is loaded already: give it to load_data"
    with pytest.raises(InputError, match=message):
        probe(backbone, load_data(images), premalignant_as="drop")


def test_an_old_name_is_read_with_a_warning(images, backbone) -> None:
    with pytest.warns(UserWarning, match=r"setting read \(probe\(\)\) is now vectors"):
        made = probe(backbone, images, method="knn", read="mean")
    assert [*made.to_frame()["source"]] == ["mean"]


def test_a_path_may_be_one_of_pathlib(backbone, images, tmp_path) -> None:
    place: Path = tmp_path / "run"
    assert probe(backbone, images, method="knn", output=str(place)).path == place
