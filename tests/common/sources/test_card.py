"""A data card stands for a data set: written by describe, edited, read."""

import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import Result

from conftest import assert_bad_input
from helpers.small_data import column, write_images, write_text
from toolkit_common.errors import InputError
from toolkit_common.sources.card import Card, identifier_of, is_card, read_card
from toolkit_common.sources.load import load_data

ROWS = "".join(
    f"{number}.png,{'ab'[number % 2]},p{number // 2},{20 + number // 2},{number % 2},{number},"
    f"{('arm', 'leg')[number % 3 % 2]}\n"
    for number in range(12)
)


@pytest.fixture
def saved(tmp_path: Path, run_cli: Callable[..., Result]) -> Path:
    """A card of a table beside it, with a suspected leak."""
    write_images(tmp_path, *(f"{number}.png" for number in range(12)))
    write_text(tmp_path / "t.csv", "file,dx,patient_id,age,biopsed,size,site\n" + ROWS)
    path = tmp_path / "data.yaml"
    done = run_cli("data", "describe", f"csv:{tmp_path}/t.csv", "--save", path)
    assert done.exit_code == 0, done.output
    return path


def edit(path: Path, **changes: object) -> Path:
    values = yaml.safe_load(path.read_text()) | changes
    path.write_text(yaml.safe_dump({key: item for key, item in values.items() if item != "cut"}))
    return path


def test_a_card_says_what_was_found(saved: Path) -> None:
    values = yaml.safe_load(saved.read_text())
    assert (values["data"], values["labels"], values["licence"]) == ("csv:t.csv", ["dx"], "unknown")
    age = {"level": "patient", "kind": "numeric", "unit": "years", "low": 0.0, "high": 120.0}
    assert values["columns"] == {
        "age": age,
        "size": {"level": "lesion", "kind": "numeric"},
        "site": {"level": "lesion", "kind": "categorical"},
    }
    assert list(values["leaks"]) == ["biopsed"]


def test_a_card_is_read_as_its_data_from_any_folder(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path.parent)
    data, plain = load_data(str(saved)), load_data(f"csv:{tmp_path}/t.csv")
    assert data.id == str(saved)
    assert data.sheet.columns == plain.sheet.columns
    assert column(data, "group") == column(plain, "group")
    assert data.images[0]["image"]["path"] == str(tmp_path / "0.png")
    assert "biopsed" not in data.table  # a leak is no input and is audited apart
    assert data.withheld["biopsed"].tolist() == plain.table["biopsed"].tolist()


def test_what_a_card_says_holds(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("image_id,split\n0.png,train\n4.png,val\n8.png,test\n")
    card = edit(
        saved, title="Mine", licence="CC0", labels=["site", "dx"], leaks={"size": "measured later"},
        columns={"age": {"level": "lesion", "kind": "categorical"}}, splits="s.csv",
    )  # fmt: skip
    data = load_data(str(card))
    sheet = data.sheet
    assert (sheet.title, sheet.licence, sheet.labels) == ("Mine", "CC0", ("site", "dx"))
    assert [(item.name, item.level, item.kind) for item in sheet.columns] == [
        ("age", "lesion", "categorical")
    ]
    assert list(data.withheld) == ["size"]
    assert column(data, "split")[:5] == ["train", None, None, None, "val"]


def test_what_a_card_leaves_out_is_found_anew(saved: Path) -> None:
    data = load_data(str(edit(saved, columns="cut", leaks="cut", labels="cut")))
    assert [item.name for item in data.sheet.columns] == ["age", "size", "site"]
    assert "biopsed" in data.sheet.suspects
    assert data.sheet.labels == ("dx",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lable": ["dx"]}, "has an unknown key 'lable'; did you mean 'labels'"),
        ({"labels": []}, "labels: .* at least 1 item"),
        ({"columns": {"age": {"level": "person", "kind": "numeric"}}}, "age.level: .*'person'"),
        ({"columns": {"height": {"level": "lesion", "kind": "numeric"}}}, "no column 'height'"),
        ({"columns": {"site": {"level": "lesion", "kind": "numeric"}}},
         "image 0.png, column 'site': 'arm' is no number"),
        ({"leaks": {"age": "later"}}, "'age' is among the leaks and is to be read"),
        ({"data": "other.yaml"}, "data is another card, 'other.yaml'"),
        ({"data": "cut"}, "data: field required"),
        ({"splits": "none.csv"}, "no table at .*none.csv"),
    ],
)  # fmt: skip
def test_what_a_card_cannot_say_is_refused(
    changes: dict[str, object], message: str, saved: Path
) -> None:
    with pytest.raises(InputError, match=message):
        load_data(str(edit(saved, **changes)))


def test_a_missing_card_and_one_in_the_way_are_named(
    saved: Path, tmp_path: Path, run_cli: Callable[..., Result]
) -> None:
    with pytest.raises(InputError, match=r"no data card at none.yaml: toolkit data describe ID"):
        read_card(Path("none.yaml"))
    command = ("data", "describe", f"csv:{tmp_path}/t.csv", "--save")
    assert_bad_input(run_cli(*command, saved), "data.yaml exists: delete it, or give another")
    assert_bad_input(run_cli(*command, tmp_path / "x.json"), "ends in .yaml", "x.json")


def test_a_card_goes_through_no_folder_that_is_not_there(run_cli: Callable[..., Result]) -> None:
    result = run_cli("data", "describe", "digits", "--save", "none/../data.yaml")
    assert_bad_input(result, "the data card in none/.. goes through none, which is no folder")
    assert not Path("none").exists()


def test_a_page_that_finds_no_space_leaves_no_card_in_the_way(
    tmp_path: Path, saved: Path, run_cli: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device", "page.html")

    monkeypatch.setattr("toolkit_common.audit.shown.describe_page.describe_page", full)
    places = ["--page", tmp_path / "page.html", "--save", tmp_path / "new.yaml"]
    result = run_cli("data", "describe", f"csv:{tmp_path}/t.csv", *places)
    assert result.exit_code == 1, result.output
    assert not (tmp_path / "new.yaml").exists()
    assert not (tmp_path / "page.html").exists()


def test_options_behind_a_card_are_those_of_its_data(saved: Path) -> None:
    assert load_data(f"{saved}?group=none").groups is None
    assert is_card("a/data.yml")
    assert not is_card("csv:data.yaml")
    card = Card(data="hf:org/name?config=x")
    assert (
        identifier_of(card, Path("/c/data.yaml"), {"label": "y"}) == "hf:org/name?config=x&label=y"
    )
    card = Card(data="csv:t.csv?group=g")
    assert identifier_of(card, Path("/c/data.yaml"), {}) == "csv:/c/t.csv?group=g"


def test_embedded_lesions_have_a_card(tmp_path: Path, run_cli: Callable[..., Result]) -> None:
    path = tmp_path / "data.yaml"
    assert run_cli("data", "describe", "lesions", "--save", path).exit_code == 0
    described = [
        json.loads(run_cli("data", "describe", name, "--json").stdout) for name in ("lesions", path)
    ]
    for item in described:
        del item["id"], item["choices"]
    assert described[0] == described[1]
