"""Tables: what is read, and how bad ones are refused."""

from pathlib import Path

import pytest

from helpers.small_data import write_images, write_text
from toolkit_common.errors import InputError
from toolkit_common.images.open import open_image
from toolkit_common.sources.load import load_data


def test_a_table_names_images_labels_splits_and_groups(tmp_path: Path) -> None:
    write_images(tmp_path / "images", "1.png", "2.png")
    text = "\ufeffimage;label;split;group;age\nimages/1.png;a;Training;p1;40\n"
    path = write_text(tmp_path / "t.csv", text + f"{tmp_path}/images/2.png;b;dev;p2;\n")
    data = load_data(f"csv:{path}")
    assert data.labels().targets.tolist() == [0, 1]
    assert data.table["split"].tolist() == ["train", "val"]
    assert data.table["image_id"].tolist() == ["images/1.png", f"{tmp_path}/images/2.png"]
    assert data.table["age"].tolist()[0] == "40"
    assert data.groups is not None
    assert all(open_image(row["image"]) for row in data.images)


def test_columns_can_have_other_names(tmp_path: Path) -> None:
    text = "path,dx,patient,key,fold\n1.png,mel,p1,k1,test\n2.png,nev,p2,k2,train\n"
    path = write_text(tmp_path / "t.csv", text)
    options = "image=path&label=dx&group=patient&image_id=key&split=fold"
    data = load_data(f"csv:{path}?{options}")
    assert set(data.table) == {"label", "group", "image_id", "split"}
    assert data.labels().classes == ("mel", "nev")


def test_a_chosen_column_takes_the_place_of_one_of_that_name(tmp_path: Path) -> None:
    text = "image,path,label,dx\nID1,1.png,x,mel\nID2,2.png,x,nev\n"
    path = write_text(tmp_path / "t.csv", text)
    data = load_data(f"csv:{path}?image=path&label=dx&image_id=image")
    assert data.labels().classes == ("mel", "nev")
    assert data.images[0]["image"]["path"] == str(tmp_path / "1.png")
    assert data.table["image_id"].tolist() == ["ID1", "ID2"]


def test_one_column_can_have_two_roles(tmp_path: Path) -> None:
    path = write_text(tmp_path / "t.csv", "image,dx+site\n1.png,mel\n2.png,nev\n")
    data = load_data(f"csv:{path}?label=dx+site&group=dx+site")
    assert data.table["label"].tolist() == data.table["group"].tolist() == ["mel", "nev"]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("label\na\n", "", "has no column 'image'; it has: label"),
        ("image,label\n", "", "has a header and no rows"),
        ("image,label\n1.png,a\n", "?label=dx", "has no column 'dx'; it has: image, label"),
        ("image,label\n1.png,a\n", "?lable=x", "unknown option 'lable' .* did you mean 'label'"),
        ("image,label\n1.png,a\n2.png,\n3.png,NaN\n", "", r"row 3 has no label \(2 such rows\)"),
        ("image,label\n,a\n", "", r"row 2 has no image \(1 such row\)"),
        ("image,label,group\n1.png,a,\n", "", r"row 2 has no group \(1 such row\)"),
        ("image,image_id\n1.png,x\n2.png,\n", "", "row 3 has no image_id"),
        ("image,split\n1.png,train\n2.png,fold1\n", "", "row 3: split 'fold1' is none of train, "),
        ("image,label\n\n1.png,a\n\n2.png,\n", "", r"row 5 has no label \(1 such row\)"),
        ("image,dx\n\n1.png,a\n,\n2.png,\n", "?label=dx", "row 5 has no label"),
        ("\nimage,split\n\n1.png,fold1\n", "", "row 4: split 'fold1'"),
        ("image,split\n1.png,\n", "", "row 2: split None is none of train, "),
        ("image\n1.png\n2.png\n1.png\n", "", "image id '1.png' occurs 2 times .* rows 1 and 3"),
    ],
)
def test_a_bad_table_is_refused_with_row_and_value(
    text: str, options: str, message: str, tmp_path: Path
) -> None:
    path = write_text(tmp_path / "t.csv", text)
    with pytest.raises(InputError, match=message):
        load_data(f"csv:{path}{options}")


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"no table at {tmp_path}/absent.csv"):
        load_data(f"csv:{tmp_path}/absent.csv")
