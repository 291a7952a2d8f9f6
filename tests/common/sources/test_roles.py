"""Which column of a table is what."""

from pathlib import Path

import pandas as pd
import pytest

from toolkit_common.errors import InputError
from toolkit_common.sources.roles import Roles, choose_roles


def choose(columns: str, **options: str) -> Roles:
    frame = pd.DataFrame(columns=columns.split(","), dtype=object)
    return choose_roles(frame, options, path=Path("t.csv"))


def test_plain_names_are_taken_without_a_word() -> None:
    roles = choose("image,label,split,group,image_id,age")
    assert roles.columns == {name: name for name in ("image", "split", "group", "image_id")}
    assert (roles.labels, roles.whole_labels, roles.chosen) == (("label",), ("label",), ())


def test_what_is_chosen_by_its_name_is_named() -> None:
    roles = choose("file,dx,Patient ID,lesion_id,age")
    assert roles.columns == {
        "image": "file", "group": "Patient ID", "patient": "Patient ID", "lesion": "lesion_id"
    }  # fmt: skip
    assert (roles.labels, roles.whole_labels) == (("dx",), ())
    image, group, label = roles.chosen
    assert (image, label) == ("image 'file'", "label 'dx'")
    assert group.startswith("group 'Patient ID' (a patient's images stay together")


@pytest.mark.parametrize(
    "name", ["patient_id", "patient", "PatientID", "subject-id", "Patient No", "participant_code"]
)
def test_a_patients_column_is_the_group(name: str) -> None:
    assert choose(f"image,label,{name}").columns["group"] == name


@pytest.mark.parametrize("name", ["lesion_id", "LesionId", "lesion_number"])
def test_without_patients_a_lesions_column_is_the_group(name: str) -> None:
    assert choose(f"image,label,{name}").columns["group"] == name


@pytest.mark.parametrize("name", ["lesion", "lesion_type", "patient_age", "inpatient", "ids"])
def test_other_columns_are_no_group(name: str) -> None:
    assert "group" not in choose(f"image,label,{name}").columns


def test_the_user_says_otherwise() -> None:
    columns = "image,label,patient_id,site"
    assert choose(columns, group="site").columns["group"] == "site"
    roles = choose(columns, group="none")
    assert "group" not in roles.columns
    assert roles.columns["patient"] == "patient_id"
    assert roles.chosen == ()
    assert choose("image,who,label", patient="who").columns["group"] == "who"


def test_a_column_that_has_a_role_is_no_label() -> None:
    assert choose("image,class,dx", image="dx").labels == ("class",)
    assert choose("image,dx", label="dx", group="dx").labels == ("dx",)


def test_all_that_is_called_a_label_is_one() -> None:
    roles = choose("image,malignant,diagnosis")
    assert roles.labels == ("diagnosis", "malignant")
    assert roles.chosen == ("label 'diagnosis' (others, no input either: 'malignant')",)
    roles = choose("image,label,grade", label="grade")
    assert (roles.labels, roles.whole_labels, roles.chosen) == (("grade", "label"), ("grade",), ())


def test_columns_that_are_not_there_are_named() -> None:
    with pytest.raises(InputError, match=r"t.csv has no column 'who'; it has: image, label"):
        choose("image,label", group="who")
    with pytest.raises(InputError, match=r"t.csv has no column 'image'; it has: picture"):
        choose("picture")
