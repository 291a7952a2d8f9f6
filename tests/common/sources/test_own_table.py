"""Tables of the user's own: which column is what, what cells say, and how bad ones are refused."""

from pathlib import Path

import pytest

from helpers.small_data import classes_and_counts, column, write_images, write_text
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
    assert set(data.table) == {"dx", "group", "patient_id", "image_id", "split"}
    assert data.labels().name == "dx"
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
    assert data.table["dx+site"].tolist() == data.table["group"].tolist() == ["mel", "nev"]


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
        ("image,dx\n\n1.png,a\n,\n2.png,\n", "?label=dx", "row 5 has no dx"),
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


# What cells say


def table(folder: Path, text: str, options: str = "") -> str:
    """The id of a table; `#` in its text is the number of the row, each row stands 4 times."""
    header, *rows = text.splitlines()
    lines = [row.replace("#", str(number)) for number, row in enumerate(rows * 4)]
    return f"csv:{write_text(folder / 't.csv', chr(10).join([header, *lines]))}{options}"


def test_one_number_is_one_class_and_one_patient(tmp_path: Path) -> None:
    text = "image,label,group\n#.png,1,1\n#.png,1.0,1.0\n#.png,2.0,2\n#.png,2,2.0\n"
    data = load_data(table(tmp_path, text))
    assert classes_and_counts(data) == {"1": 8, "2": 8}
    assert data.groups is not None
    assert set(data.groups) == {"1", "2"}


@pytest.mark.parametrize("options", ["", "?merge=spelling", "?merge=none"])
def test_a_class_in_two_spellings_needs_a_word(options: str, tmp_path: Path) -> None:
    identifier = table(
        tmp_path, "image,label\n#.png,Nevus\n#.png,Nevus\n#.png,nevus\n#.png,mel\n", options
    )
    if not options:
        with pytest.raises(InputError, match=r"'label' spells .*'Nevus' \(8\), 'nevus' \(4\)"):
            load_data(identifier)
    else:
        apart = {"mel": 4, "Nevus": 8, "nevus": 4}
        expected = {"mel": 4, "Nevus": 12} if options == "?merge=spelling" else apart
        assert classes_and_counts(load_data(identifier)) == expected


@pytest.mark.parametrize("options", ["", "?missing=empty", "?missing=None,NA"])
def test_a_class_that_reads_as_missing_does_not_vanish(options: str, tmp_path: Path) -> None:
    text = "image,label,grade\n#.png,a,None\n#.png,b,low\n#.png,a,high\n#.png,b,\n"
    data = load_data(table(tmp_path, text, options))
    if not options:
        message = r"'grade' .*: 4 cells say 'None', read as missing: add \?missing=empty"
        with pytest.raises(InputError, match=message):
            data.labels("grade")
    else:
        classes = ("None", "high", "low") if "empty" in options else ("high", "low")
        assert data.labels("grade").classes == classes


CODES = "image,label\n#.png,-1\n#.png,0\n#.png,1\n#.png,{}\n"


def test_minus_one_among_codes_is_no_label_and_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = load_data(table(tmp_path, CODES.format(2)))
    assert classes_and_counts(data) == {"0": 4, "1": 4, "2": 4}
    assert data.labels().targets.tolist()[:4] == [-1, 0, 1, 2]
    line = "data: t.csv: label is -1 in 4 rows: no class (?missing=empty makes it one)"
    assert line in capsys.readouterr().err
    kept = load_data(table(tmp_path, CODES.format(2), "?missing=empty"))
    assert classes_and_counts(kept) == {"-1": 4, "0": 4, "1": 4, "2": 4}


def test_minus_one_beside_zero_and_one_alone_is_in_doubt(tmp_path: Path) -> None:
    data = load_data(table(tmp_path, CODES.format(1)))
    message = r"4 cells say '-1', read as missing: add .missing=empty if .*, .missing=-1 if"
    with pytest.raises(InputError, match=message):
        data.labels()
    settled = load_data(table(tmp_path, CODES.format(1), "?missing=-1"))
    assert classes_and_counts(settled) == {"0": 4, "1": 8}
    assert settled.labels().targets.tolist()[0] == -1


def test_minus_one_and_one_are_two_classes(tmp_path: Path) -> None:
    data = load_data(table(tmp_path, "image,label\n#.png,-1\n#.png,1\n"))
    assert classes_and_counts(data) == {"-1": 4, "1": 4}


def test_minus_one_in_a_column_of_metadata_is_asked_for(tmp_path: Path) -> None:
    text = "image,grade\n#.png,-1\n#.png,0\n#.png,1\n#.png,2\n"
    message = r"label 'grade' .* has -1 beside codes .* name the column .*\(\?label=grade\)"
    with pytest.raises(InputError, match=message):
        load_data(table(tmp_path, text)).labels("grade")
    assert load_data(table(tmp_path, text, "?label=grade")).labels().classes == ("0", "1", "2")


def test_a_german_spreadsheet_is_read(tmp_path: Path) -> None:
    text = "image;label;size;depth\n#.png;a;12,5;1,5 mm\n#.png;b;3;2 mm\n#.png;b;4,25;0,75 mm\n"
    data = load_data(table(tmp_path, text))
    kinds = {item.name: (item.kind, item.unit) for item in data.sheet.columns}
    assert kinds == {"size": ("numeric", ""), "depth": ("numeric", "mm")}
    assert column(data, "size")[:3] == ["12.5", "3", "4.25"]
    assert column(data, "depth")[:3] == ["1.5 mm", "2 mm", "0.75 mm"]


def test_a_patients_images_stay_together_unless_the_user_says_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "image,label,patient_id,age\n#.png,a,p1,40\n#.png,b,p2,50\n#.png,a,p3,60\n"
    data = load_data(table(tmp_path, text))
    assert column(data, "group") == column(data, "patient_id") == ["p1", "p2", "p3"] * 4
    printed = capsys.readouterr().err
    assert (
        "t.csv: group 'patient_id' (a patient's images stay together; ?group=COLUMN or none)"
        in printed
    )
    assert "t.csv: metadata of the patient: age [years]" in printed
    assert load_data(table(tmp_path, text, "?group=none")).groups is None


def test_a_person_of_two_ages_is_told(tmp_path: Path) -> None:
    write_text(tmp_path / "t.csv", "image,label,patient,age\n1.png,a,p,40\n2.png,b,p,41\n"
               "3.png,b,q,50\n")  # fmt: skip
    told = load_data(f"csv:{tmp_path / 't.csv'}").choices
    assert told[-1] == "t.csv: age has two values in 1 patient: it is read as the lesion's"


def test_patients_do_not_share_a_lesion(tmp_path: Path) -> None:
    text = "image,label,patient_id,lesion_id\n#.png,a,p1,1\n#.png,b,p2,1\n#.png,b,p2,2\n"
    assert column(load_data(table(tmp_path, text)), "lesion_id")[:3] == ["p1/1", "p2/1", "p2/2"]
    text = "image,label,patient_id,lesion_id\n#.png,a,p1,1\n#.png,b,p2,2\n"
    assert column(load_data(table(tmp_path, text)), "lesion_id")[:2] == ["1", "2"]


def test_what_is_no_metadata_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = ("image,label,centre,biopsed,note,site\n#.png,a,x,1,n#,arm\n#.png,b,x,0,n#,leg\n"
            "#.png,b,x,1,n#,arm\n#.png,a,x,0,n#,arm\n")  # fmt: skip
    data = load_data(table(tmp_path, text))
    assert [item.name for item in data.sheet.columns] == ["site"]
    assert data.sheet.unread["biopsed"].startswith("may be a leak: decided after")
    printed = capsys.readouterr().err
    assert "no metadata: biopsed (may be a leak" in printed
    assert "centre (one value, 'x')" in printed
    assert "note (16 different words in 16 rows" in printed


def test_metadata_are_chosen_and_dropped(tmp_path: Path) -> None:
    text = "image,label,biopsed,site,sex\n#.png,a,1,arm,f\n#.png,b,0,leg,m\n"
    chosen = load_data(table(tmp_path, text, "?columns=biopsed,site"))
    assert [item.name for item in chosen.sheet.columns] == ["biopsed", "site"]
    assert chosen.sheet.unread == {"sex": "not among ?columns="}
    dropped = load_data(table(tmp_path, text, "?drop=site,biopsed"))
    assert [item.name for item in dropped.sheet.columns] == ["sex"]
    assert "site" not in dropped.table


def test_options_of_a_table_are_checked(tmp_path: Path) -> None:
    text = "image,label\n#.png,a\n#.png,b\n"
    with pytest.raises(InputError, match="merge must be spelling or none, got 'all'"):
        load_data(table(tmp_path, text, "?merge=all"))
    with pytest.raises(InputError, match="has no column 'site'; it has: image, label"):
        load_data(table(tmp_path, text, "?drop=site"))
    text = "image,label,patient_id\n#.png,a,p\n#.png,b,\n"
    with pytest.raises(InputError, match=r"row 3 has no patient_id .* or add \?group=none"):
        load_data(table(tmp_path, text))


def test_a_spreadsheet_of_windows_is_read_as_it_is(tmp_path: Path) -> None:
    write_images(tmp_path, *(f"images/{number}.png" for number in range(12)))
    text = "sep=;\r\nimage;dx;gr\xf6\xdfe\r\n"
    rows = [f"images\\{number}.png;{'ab'[number % 2]};{number},5\r\n" for number in range(12)]
    (tmp_path / "t.csv").write_bytes((text + "".join(rows)).encode("cp1252"))
    data = load_data(f"csv:{tmp_path / 't.csv'}")
    assert data.table["image_id"][0] == "images/0.png"
    assert open_image(data.images[0]["image"]).size == (12, 10)
    assert column(data, "gr\xf6\xdfe")[:2] == ["0.5", "1.5"]
    assert data.choices[0].startswith(
        "t.csv: no UTF-8: taken for Windows-1252, as in 'gr\xf6\xdfe'"
    )


def test_ids_of_an_archive_find_their_images(tmp_path: Path) -> None:
    write_images(tmp_path, "part_1/ISIC_1.png", "part_2/ISIC_2.png")
    path = write_text(tmp_path / "t.csv", "isic_id,dx\nISIC_1,a\nISIC_2,b\n")
    data = load_data(f"csv:{path}")
    assert data.table["image_id"].tolist() == ["ISIC_1", "ISIC_2"]
    assert data.images[1]["image"]["path"] == str(tmp_path / "part_2" / "ISIC_2.png")
    assert "2 of 2 images are found by their names" in data.choices[0]
