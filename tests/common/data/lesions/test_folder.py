"""What readers of lesion data sets share: levels without patients, absent images."""

from pathlib import Path

import pandas as pd
import pytest

from toolkit_common.data.lesions.folder import NO_PATIENTS, add_images, finish, read_request
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.errors import InputError

SHEET = Sheet(
    "small", classes={"a": "a"}, columns=(Column("age", "patient", "numeric"),), notes=("known",)
)


def frame(**columns: list[str]) -> pd.DataFrame:
    ids = ["0", "1"]
    return pd.DataFrame({"image": ids, "image_id": ids, "lesion_id": ids, "diagnosis": "a",
                         "age": ["50", "60"]} | columns)  # fmt: skip


def test_without_patients_their_columns_are_the_lesions(tmp_path: Path) -> None:
    request = read_request("small:x", str(tmp_path), {}, own={})
    alone = finish(frame(), SHEET, request, path=tmp_path)
    assert [column.level for column in alone.sheet.columns] == ["lesion"]
    assert alone.sheet.notes == (NO_PATIENTS, "known")
    known = finish(frame(patient_id=["p", "p"]), SHEET, request, path=tmp_path)
    assert [column.level for column in known.sheet.columns] == ["patient"]
    assert known.sheet.notes == ("known", "age: 1 patients had several values, their median counts")
    assert known.table["age"].tolist() == [55.0, 55.0]


@pytest.mark.parametrize("allow", ["0", "1"])
def test_a_folder_without_any_image_is_no_part(allow: str, tmp_path: Path) -> None:
    request = read_request("small:x", str(tmp_path), {"allow_partial": allow}, own={})
    with pytest.raises(InputError, match=r"2 of 2 images .* \(first: 0\): unpack them$"):
        add_images(frame(), {}, request, hint="unpack them")
