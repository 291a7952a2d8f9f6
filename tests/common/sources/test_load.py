"""Ids of data sets: what they may look like and how wrong ones are refused."""

from pathlib import Path

import pytest

from toolkit_common.errors import InputError
from toolkit_common.sources.load import EMBEDDED, SOURCES, load_data
from toolkit_common.synthetic.make import make_data


@pytest.mark.slow
@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_data_need_no_place_and_take_none(name: str) -> None:
    assert load_data(name).id == name
    with pytest.raises(
        InputError, match=f"'{name}' is embedded and takes no place, got '{name}:x'"
    ):
        load_data(f"{name}:x")


@pytest.mark.parametrize("name", sorted(set(SOURCES) - set(EMBEDDED)))
def test_other_data_need_a_place(name: str) -> None:
    with pytest.raises(InputError, match=f"data set '{name}' needs a place: {name}:PATH"):
        load_data(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("imgfolder:x", r"unknown data set 'imgfolder'; did you mean 'imagefolder'\?"),
        ("", "unknown data set ''; choose from: .*csv, .*digits, .*, lesions"),
        ("digits?size=8", r"unknown option 'size' in 'digits\?size=8': it takes none"),
        ("lesions?premalignant=x", "unknown option 'premalignant' .* mean 'premalignant_as'"),
        ("csv:x?label=", "option 'label' in .* has no value"),
        ("csv:x?label=a&label=b", "option 'label' occurs twice"),
    ],
)
def test_a_wrong_id_is_refused_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_data(text)


@pytest.mark.slow
def test_premalignant_as_beside_the_id_is_carried_into_it() -> None:
    written = load_data("lesions?premalignant_as=malignant")
    given = load_data("lesions", premalignant_as="malignant")
    assert given.id == written.id
    both = load_data(written.id, premalignant_as="malignant")
    assert (written.labels("malignant").targets == both.labels("malignant").targets).all()


@pytest.mark.parametrize("text", ["digits", "imagefolder:x", "csv:x?label=a"])
def test_data_without_premalignant_diagnoses_refuse_to_count_them(text: str) -> None:
    message = f"{text.replace('?', '[?]')}[?&]premalignant_as=drop' knows no premalignant"
    with pytest.raises(InputError, match=message):
        load_data(text, premalignant_as="drop")


def test_a_sheet_without_premalignant_diagnoses_refuses_to_count_them(tmp_path: Path) -> None:
    make_data("slice-3d", tmp_path / "set", rows=10, seed=0, layout=None, pool=None)
    with pytest.raises(InputError, match=r"set[?]premalignant_as=benign' knows no premalignant"):
        load_data(f"slice-3d:{tmp_path / 'set'}?premalignant_as=benign")
