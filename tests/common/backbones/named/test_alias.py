"""Files of short names are read strictly, each slip in one line with file, entry and key."""

from pathlib import Path

import pytest

from toolkit_common.backbones.named.alias import Alias, alias_file, change, left, read_aliases
from toolkit_common.errors import InputError

KNOWN = {"panderm": Alias("timm:vit", {"weights": "p.pth", "mean": "imagenet"}, "n", "l", "get it")}


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "lab" / "encoders.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_the_own_file_lies_where_the_system_keeps_settings(tmp_path: Path) -> None:
    assert alias_file() == tmp_path / "config" / "toolkit" / "encoders.yaml"


def test_an_entry_says_what_the_options_of_an_id_say(tmp_path: Path) -> None:
    text = """
mine:
  id: timm:vit_small_patch16_224
  weights: w/mine.pth
  key: teacher
  prefix: backbone.
  mean: [0.5, 0.4, 0.3]
  std: [0.2, 0.2, 0.2]
  crop_pct: 1.0
  interpolation: bilinear
  image_size: 112
  objective: dino
  tokens: patches
  vectors: mean
  layers: [-1, 3]
  note: ours
  licence: internal
"""
    alias = read_aliases(write(tmp_path, text), {})["mine"]
    assert alias.place == "timm:vit_small_patch16_224"
    assert alias.options == {
        "weights": str(tmp_path / "lab/w/mine.pth"), "key": "teacher", "prefix": "backbone.",
        "mean": "0.5,0.4,0.3", "std": "0.2,0.2,0.2", "crop_pct": "1.0",
        "interpolation": "bilinear", "image_size": "112", "objective": "dino",
        "tokens": "patches", "vectors": "mean", "layers": "-1,3",
    }  # fmt: skip
    assert (alias.note, alias.licence) == ("ours", "internal")


@pytest.mark.parametrize(
    ("given", "place", "weights"),
    [
        ("timm:x?weights=a.pth", "timm:x", "lab/a.pth"),
        ("timm:x?weights=/data/a.pth", "timm:x", "/data/a.pth"),
        ("timm:x?weights=hf-hub:a/b", "timm:x", "hf-hub:a/b"),
        ("timm:local-dir:m", "timm:local-dir:LAB/m", None),
        ("runs/derm", "LAB/runs/derm", None),
        ("./derm", "LAB/derm", None),
        ("other", "other", None),
    ],
)
def test_paths_start_at_the_file(
    given: str, place: str, weights: str | None, tmp_path: Path
) -> None:
    alias = read_aliases(write(tmp_path, f"mine: {given}"), {})["mine"]
    assert alias.place == place.replace("LAB", str(tmp_path / "lab"))
    expected = str(tmp_path / weights) if weights and not weights.startswith("hf-hub") else weights
    assert alias.options.get("weights") == expected


def test_an_entry_without_id_changes_the_built_in_one(tmp_path: Path) -> None:
    alias = read_aliases(write(tmp_path, "panderm: {weights: mine.pth}"), KNOWN)["panderm"]
    assert alias.place == "timm:vit"
    assert alias.options == {"mean": "imagenet", "weights": str(tmp_path / "lab/mine.pth")}
    assert (alias.note, alias.needs) == ("n", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mine: {idd: timm:x}", r"mine has an unknown key 'idd'; did you mean 'id'"),
        ("mine: {id: tim:x}", r"mine\.id: unknown source 'tim'; did you mean 'timm'"),
        ("mine: {id: timm:x, image_size: big}", r"mine\.image_size: input should be.* got 'big'"),
        ("mine: {id: timm:x, mean: [1, 2]}", r"mine\.mean.*got \[1, 2\]"),
        ("mine: {id: timm:x, tokens: cls}", r"mine\.tokens: .*'patches' or 'all'.*got 'cls'"),
        ("mine: {id: 'timm:x?key=a', key: b}", r"mine: key is in the id and beside it"),
        ("mine: {id: 'timm:x?kee=a'}", r"unknown option 'kee'.*did you mean 'key'"),
        ("mine: {id: timm:x, weights: a&b.pth}", r"mine\.weights: an id cannot hold a '&'"),
        ("pandem: {weights: a}", r"pandem has no id.*did you mean 'panderm'\?$"),
        ("mine: 3", r"mine must be an id, or `key: value` lines, got 3"),
        ("a/b: timm:x", r"a/b' is no short name"),
        ("timm: timm:x", r"timm' is no short name"),
        ("mine: {id: timm:x, id: timm:y}", r"encoders.yaml, line 1: key 'id' stands here twice"),
        ("- a", r"must hold `key: value` lines, got a list"),
    ],
)
def test_a_slip_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_aliases(write(tmp_path, text), KNOWN)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file of encoders by name at .*/none\.yaml"):
        read_aliases(tmp_path / "none.yaml", {})


def test_who_gives_another_file_or_mean_takes_nothing_of_the_first_over() -> None:
    options = {"weights": "a", "key": "k", "prefix": "p", "mean": "1", "std": "2", "layers": "all"}
    assert left(options, ["weights"]) == {"mean": "1", "std": "2", "layers": "all"}
    assert left(options, ["mean"]) == {"weights": "a", "key": "k", "prefix": "p", "layers": "all"}
    assert "layers" not in left(options, ["layer"])
    below = Alias("timm:x", options, "note", "licence", "needs")
    above = Alias("", {"std": "3"}, licence="mine")
    changed = change(below, above)
    assert (changed.options["mean"], changed.options["std"]) == ("1", "3")
    assert (changed.note, changed.licence, changed.needs) == ("note", "mine", "needs")
