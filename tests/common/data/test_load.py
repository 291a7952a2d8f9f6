"""Ids of data sets: what they may look like and what is said of wrong ones."""

import pytest

from toolkit_common.data.load import EMBEDDED, SOURCES, load_data
from toolkit_common.errors import InputError


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
        ("", "unknown data set ''; choose from: .*csv, digits, .*, lesions"),
        ("digits?size=8", r"unknown option 'size' in 'digits\?size=8': it takes none"),
        ("lesions?premalignant=x", "unknown option 'premalignant' .* mean 'premalignant_as'"),
        ("csv:x?label=", "option 'label' in .* has no value"),
        ("csv:x?label=a&label=b", "option 'label' occurs twice"),
    ],
)
def test_a_wrong_id_is_refused_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_data(text)


def test_options_can_be_given_apart() -> None:
    written = load_data("lesions?premalignant_as=malignant").labels("malignant").targets
    given = load_data("lesions", premalignant_as="malignant").labels("malignant").targets
    assert (written == given).all()
