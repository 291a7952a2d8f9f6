"""Layers are merged, the later ones winning, and each value remembers where it came from."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from helpers.example_settings import PRESETS, Crop, Example, Grouped, Transform
from toolkit_common.config import Layer, parse_assignment, resolve
from toolkit_common.errors import InputError
from toolkit_probing.settings import ProbeSettings


def test_without_layers_every_value_is_the_default() -> None:
    resolved = resolve(Example)
    assert resolved.settings == Example()
    assert set(resolved.sources.values()) == {"default"}
    assert resolved.sources["transform.crop.size"] == "default"


def test_later_layers_win_and_each_value_keeps_its_source() -> None:
    layers = [
        Layer("a.yaml", {"lr": 1.0, "epochs": 7, "label": "x"}),
        Layer("--set", {"epochs": 8, "label": "y"}),
        Layer("--label", {"label": "z"}),
        Layer("--protocol", {"protocol": "paper"}),
    ]
    resolved = resolve(Example, layers, presets=PRESETS)
    given = {key: source for key, source in resolved.sources.items() if source != "default"}
    settings = resolved.settings
    assert (settings.lr, settings.epochs, settings.label) == (1.0, 8, "z")
    assert given == {
        "lr": "a.yaml", "epochs": "--set", "label": "--label", "protocol": "--protocol",
    }  # fmt: skip


def test_a_preset_stands_between_defaults_and_everything_else() -> None:
    resolved = resolve(Example, [Layer("f", {"protocol": "paper", "lr": 2.0})], presets=PRESETS)
    assert (resolved.settings.lr, resolved.settings.epochs) == (2.0, 100)
    assert resolved.sources["epochs"] == "protocol paper"
    assert resolved.sources["lr"] == "f"


def test_the_strongest_layer_chooses_the_preset() -> None:
    layers = [Layer("f", {"protocol": "paper"}), Layer("--protocol", {"protocol": "honest"})]
    assert resolve(Example, layers, presets=PRESETS).settings.epochs == 90


@pytest.mark.parametrize("name", ["papr", 3, ["paper"], None, {"paper": 1}])
def test_an_unknown_preset_is_named_with_its_neighbours(name: object) -> None:
    with pytest.raises(InputError, match=r"unknown protocol .*choose from: honest, paper"):
        resolve(Example, [Layer("f", {"protocol": name})], presets=PRESETS)


def test_nested_groups_merge_key_by_key() -> None:
    layers = [
        Layer("f", {"transform": {"crop": {"size": 96}, "flip": True}}),
        Layer("--set", {"transform": {"crop": {"mode": "random"}}}),
    ]
    resolved = resolve(Example, layers)
    assert resolved.settings.transform == Transform(crop=Crop(size=96, mode="random"), flip=True)
    assert resolved.sources["transform.crop.size"] == "f"
    assert resolved.sources["transform.crop.mode"] == "--set"


def test_layers_are_left_as_they_were() -> None:
    values = {"transform": {"crop": {"size": 96}}}
    resolve(Example, [Layer("f", values), Layer("g", {"transform": {"crop": {"size": 5}}})])
    assert values == {"transform": {"crop": {"size": 96}}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, r"^f: unknown setting epoch; did you mean 'epochs'\? choose from: epochs,"),
        ({"transform": {"flop": 1}}, r"setting transform\.flop; did you mean 'flip' or 'crop'\?"),
        ({"transform": {"crop": {"siz": 1}}}, r"transform\.crop\.siz; did you mean 'size'\?"),
        ({3: 4}, "unknown setting 3;"),
        ({None: 4}, "unknown setting None;"),
    ],
)
def test_an_unknown_key_is_refused_at_any_depth(values: dict[Any, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve(Example, [Layer("f", values)])


@pytest.mark.parametrize("value", [3, None, "crop", [1]])
def test_a_group_of_settings_cannot_be_one_value(value: object) -> None:
    expected = rf"^f: transform\.crop is a group of settings, got {value!r}".replace("[1]", r"\[1")
    with pytest.raises(InputError, match=expected):
        resolve(Example, [Layer("f", {"transform": {"crop": value}})])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": "many"}, r"^epochs: .*valid integer.*got 'many' \(from f\)$"),
        ({"lr": -1}, r"^lr: .*greater than 0, got -1 \(from f\)$"),
        ({"lrs": "0.1,x"}, r"^lrs: .*valid number.*got 'x' \(from f\)$"),
        ({"lrs": "0.1,0"}, r"^lrs: .*greater than 0, got '0' \(from f\)$"),
        ({"lrs": [-0.1]}, r"^lrs: .*greater than 0, got -0.1 \(from f\)$"),
        ({"queries": "8,0"}, r"^queries: .*greater than or equal to 1, got '0' \(from f\)$"),
        ({"queries": True}, r"^queries: .*got True \(from f\)$"),
        ({"label": 3}, r"^label: .*valid string, got 3 \(from f\)$"),
        ({"transform": {"crop": {"mode": "x"}}}, r"^transform\.crop\.mode: .*'random', got 'x'"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_source(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        resolve(Example, [Layer("f", values)])


class Later(Example):
    gone: ClassVar[Mapping[str, Any]] = {"flavour": "plain"}


def test_a_value_that_the_message_quotes_is_quoted_once() -> None:
    with pytest.raises(InputError, match="backbone: unknown option 'imgsize' in") as told:
        resolve(ProbeSettings, [Layer("--backbone", {"backbone": "timm:x?imgsize=64"})])
    assert str(told.value).count("timm:x?imgsize=64") == 1
    assert str(told.value).endswith(" (from --backbone)")


def test_a_setting_that_is_gone_is_read_at_the_one_value_that_is_left_of_it() -> None:
    for value in ("plain", "'plain'"):
        assert resolve(Later, [Layer("old.yaml", {"flavour": value})]).settings == Later()
    message = "old.yaml: the setting flavour is gone, only plain is left: got 'mint'"
    with pytest.raises(InputError, match=message):
        resolve(Later, [Layer("old.yaml", {"flavour": "mint"})])


def test_groups_that_are_no_fields_go_where_groups_are_held() -> None:
    layers = [
        Layer("f", {"ep": {"queries": "8,16", "rate": 0.1}, "knn": {"k": [5]}}),
        parse_assignment("ep.queries=32"),
    ]
    resolved = resolve(Grouped, layers)
    assert resolved.settings.options == {
        "ep": {"queries": (32,), "rate": (0.1,)},
        "knn": {"k": (5,)},
    }
    assert resolved.sources["options.ep.queries"] == "--set"
    assert resolved.sources["options.ep.rate"] == "f"
    assert "    queries: [32]  # --set" in resolved.to_yaml()


def test_a_group_may_lie_in_its_field_and_beside_it_in_one_file() -> None:
    both = {"options": {"ep": {"queries": 4, "rate": 1}}, "ep": {"rate": 2}, "k": 3}
    resolved = resolve(Grouped, [Layer("f", {**both, "knn": {"mode": "a"}})])
    assert resolved.settings.options == {
        "ep": {"queries": (4,), "rate": (2,)},
        "knn": {"k": (3,), "mode": ("a",)},
    }


@pytest.mark.parametrize("values", [{"ep": None}, {"k": 3, "knn": None}, {"options": None, "k": 3}])
def test_a_group_that_is_none_is_refused_whatever_stands_beside_it(values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^f: \w+ is a group of settings, got None"):
        resolve(Grouped, [Layer("f", values)], group_names=lambda: ["ep", "knn"])


def test_a_known_group_with_one_value_is_answered_with_how_to_write_it() -> None:
    message = (
        r"^--set: ep is a group of settings, got 8: give --set ep.NAME=VALUE, or in a file "
        r"ep: \{NAME: VALUE\}$"
    )
    with pytest.raises(InputError, match=message):
        resolve(Grouped, [parse_assignment("ep=8")], group_names=lambda: ["ep"])


def test_old_names_are_todays_and_noted() -> None:
    resolved = resolve(Grouped, [Layer("--size", {"size": 32}), Layer("f.yaml", {"k": 3})])
    assert resolved.settings == Grouped(image_size=32, options={"knn": {"k": (3,)}})
    assert resolved.sources["image_size"] == "--size"
    assert list(resolved.notes) == [
        "--size is now --image-size",
        "setting k (f.yaml) is now knn.k",
    ]
    option_of_before = resolve(Grouped, [Layer("--k", {"k": "3"})])
    assert list(option_of_before.notes) == ["--k is now --set knn.k=..."]


def test_what_is_no_group_is_refused_where_groups_are_held() -> None:
    with pytest.raises(InputError, match=r"f: unknown setting sze; choose from: image_size"):
        resolve(Grouped, [Layer("f", {"sze": 3})])
    with pytest.raises(InputError, match=r"f: ep is a group of settings, got 3"):
        resolve(Grouped, [Layer("f", {"options": {"ep": 3}})])
    with pytest.raises(InputError, match=r"options.ep.n: .*at least 1 item"):
        resolve(Grouped, [Layer("f", {"ep": {"n": []}})])
