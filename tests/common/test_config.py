"""Settings are strict, layered, and remember where each value came from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BeforeValidator, Field

from helpers.properties import few_examples
from toolkit_common.config import (
    Groups,
    Layer,
    Names,
    PositiveFloats,
    Settings,
    field_extra,
    option,
    parse_assignment,
    read_yaml,
    resolve,
    split_commas,
)
from toolkit_common.errors import InputError


class Crop(Settings):
    size: int = option(224, "Side.", ge=1)
    mode: Literal["center", "random"] = option("center", "Where.")


class Transform(Settings):
    crop: Crop = Crop()
    flip: bool = option(False, "Mirror.")
    note: str = option("", "Text.")


Counts = Annotated[
    tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1), BeforeValidator(split_commas)
]


class Example(Settings):
    """One field of each type that the commands use."""

    protocol: str = option("honest", "Preset.")
    lr: float = option(0.1, "Learning rate.", gt=0)
    lrs: PositiveFloats = option((0.1, 0.2), "Learning rates.")
    queries: Counts = option((32,), "Queries.")
    method: Names = option(("ep",), "Methods.", flag="-m", panel="Probe")
    label: str | None = option(None, "Column.")
    folder: Path | None = option(None, "Folder.", affects_result=False)
    epochs: int = option(90, "Epochs.")
    transform: Transform = Transform()


PRESETS = {"honest": {}, "paper": {"lr": 5.0, "epochs": 100}}


def file_of(folder: Path, text: str | bytes) -> Path:
    path = folder / "settings.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


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


@pytest.mark.parametrize("text", ["nan", "inf", ".nan", "-.inf"])
def test_a_setting_is_a_finite_number(text: str) -> None:
    with pytest.raises(InputError, match=r"^lr: .*got .*\(from --set\)"):
        resolve(Example, [parse_assignment(f"lr={text}")])


@pytest.mark.parametrize("text", ["", ",", "[]"])
@pytest.mark.parametrize("key", ["lrs", "queries", "method"])
def test_a_list_of_none_is_refused(key: str, text: str) -> None:
    with pytest.raises(InputError, match=rf"^{key}: .*at least 1 item"):
        resolve(Example, [parse_assignment(f"{key}={text}")])


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Example().lr = 3.0  # type: ignore[misc]


# Reading files and assignments


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("lr: 1e-3", {"lr": 0.001}),
        ("lrs: 1e-3", {"lrs": (0.001,)}),
        ("lrs: [1e-3, 2]", {"lrs": (0.001, 2.0)}),
        ("lrs: 1e-3,2e-3", {"lrs": (0.001, 0.002)}),
        ("queries: 8", {"queries": (8,)}),
        ("method: ep, knn,", {"method": ("ep", "knn")}),
        ("transform: {flip: yes}", {"transform": Transform(flip=True)}),
        ("\ufefflr: 2", {"lr": 2.0}),
        ("", {}),
        ("# only a comment\n", {}),
    ],
)
def test_yaml_values_become_what_the_field_says(
    tmp_path: Path, text: str, values: dict[str, Any]
) -> None:
    layer = read_yaml(file_of(tmp_path, text))
    assert resolve(Example, [layer]).settings == Example(**values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr: [1", "settings.yaml is not valid YAML: .*line 1"),
        ("a: b: c", "settings.yaml is not valid YAML: .*column 5"),
        ("lr: !!python/object/apply:os.getcwd []", "settings.yaml is not valid YAML: .*python/obj"),
        ("label: 2024-13-45", "settings.yaml is not valid YAML: month must be in 1..12"),
        ("- lr", r"settings.yaml must hold `key: value` lines, got a list"),
        ("3", "settings.yaml must hold .* got a int"),
        (b"lr: \xff", "cannot read the configuration file .*settings.yaml: .*0xff"),
    ],
)
def test_a_bad_file_is_one_line_with_its_name(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_yaml(file_of(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no configuration file at .*none\.yaml"):
        read_yaml(tmp_path / "none.yaml")


def test_a_folder_is_no_configuration_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"cannot read the configuration file {tmp_path}"):
        read_yaml(tmp_path)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("lr=1e-3", {"lr": "1e-3"}),
        ("a.b.c=[1, 2]", {"a": {"b": {"c": [1, 2]}}}),
        ("label=", {"label": ""}),
        ("label=a=b", {"label": "a=b"}),
        (" flip =true", {"flip": True}),
        ("label=[", {"label": "["}),
        ("label=2024-13-45", {"label": "2024-13-45"}),
    ],
)
def test_an_assignment_is_a_layer(text: str, values: dict[str, Any]) -> None:
    assert parse_assignment(text) == Layer("--set", values)


@pytest.mark.parametrize("text", ["lr", "=3", "  =3", ""])
def test_an_assignment_needs_a_key_and_a_value(text: str) -> None:
    with pytest.raises(InputError, match=f"^--set wants key=value, got '{text}'$"):
        parse_assignment(text)


# Writing files

# YAML is text: it has no lone surrogates.
texts = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.floats(allow_nan=False, allow_infinity=False)
any_settings = st.builds(
    Example,
    lr=st.floats(min_value=0, exclude_min=True, allow_infinity=False),
    lrs=st.lists(numbers.filter(lambda number: number > 0), min_size=1).map(tuple),
    queries=st.lists(st.integers(1), min_size=1).map(tuple),
    method=st.lists(texts, min_size=1).map(tuple),
    label=st.none() | texts,
    folder=st.none() | texts.map(Path),
    epochs=st.integers(),
    transform=st.builds(Transform, flip=st.booleans(), note=texts),
)


@pytest.mark.slow
@few_examples
@example(Example(label="\x85\u2028", transform=Transform(note="two\n\nlines # no comment")))
@given(any_settings)
def test_written_settings_read_back_equal(settings: Example) -> None:
    resolved = resolve(Example, [Layer("a # b: c", settings.model_dump())])
    path = file_of(Path(), resolved.to_yaml())
    assert resolve(Example, [read_yaml(path)]).settings == settings


def test_written_settings_say_where_each_value_came_from() -> None:
    layers = [Layer("my.yaml", {"lr": 1e-5}), Layer("--set", {"transform": {"flip": True}})]
    lines = resolve(Example, layers).to_yaml().splitlines()
    assert "lr: 1.0e-05  # my.yaml" in lines
    assert "  flip: true  # --set" in lines
    assert "    size: 224  # default" in lines
    assert yaml.safe_load("\n".join(lines))["transform"]["crop"]["size"] == 224


def test_result_settings_leave_out_what_does_not_affect_the_result() -> None:
    first = resolve(Example, [Layer("f", {"folder": "a"})]).result_settings()
    second = resolve(Example, [Layer("f", {"folder": "b"})]).result_settings()
    assert first == second
    assert "folder" not in first
    assert first["transform.crop.size"] == 224


def test_a_field_keeps_what_option_declared() -> None:
    fields = Example.model_fields
    expected = {"panel": "Probe", "flag": "-m", "affects_result": True, "holds_groups": False}
    assert field_extra(fields["method"]) == expected
    assert field_extra(fields["folder"])["affects_result"] is False
    assert field_extra(fields["transform"]) == expected | {"panel": "Options", "flag": None}


def test_defaults_are_checked_like_given_values() -> None:
    class Wrong(Settings):
        epochs: int = option(0, "Epochs.", ge=1)

    with pytest.raises(InputError, match=r"epochs: .*greater than or equal to 1, got 0"):
        resolve(Wrong)


class Later(Example):
    gone: ClassVar[Mapping[str, Any]] = {"flavour": "plain"}


def test_a_setting_that_is_gone_is_read_at_the_one_value_that_is_left_of_it() -> None:
    for value in ("plain", "'plain'"):
        assert resolve(Later, [Layer("old.yaml", {"flavour": value})]).settings == Later()
    message = "old.yaml: the setting flavour is gone, only plain is left: got 'mint'"
    with pytest.raises(InputError, match=message):
        resolve(Later, [Layer("old.yaml", {"flavour": "mint"})])


# Old names, and groups that are no fields


class Grouped(Settings):
    renamed: ClassVar[Mapping[str, str]] = {"size": "image_size", "k": "knn.k"}
    image_size: int = option(224, "Side.")
    options: Groups = option({}, "Options.", holds_groups=True)


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


def test_settings_with_groups_are_read_back_as_written(tmp_path: Path) -> None:
    resolved = resolve(Grouped, [Layer("f", {"ep": {"mode": "a,2,1e-3", "n": None}})])
    stored = resolve(Grouped, [read_yaml(file_of(tmp_path, resolved.to_yaml()))]).settings
    assert stored == resolved.settings
    assert stored.options["ep"] == {"mode": ("a", 2, 1e-3), "n": (None,)}


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
