"""Fitzpatrick17k: labels of three grains, unknown skin types, images that are not there."""

from pathlib import Path

import pytest

from helpers.small_data import column, write_images, write_text
from toolkit_common.errors import InputError
from toolkit_common.sources.load import load_data

HEADER = ("md5hash,fitzpatrick_scale,fitzpatrick_centaur,label,nine_partition_label,"
          "three_partition_label,qc,url,url_alphanum\n")  # fmt: skip
ROWS = (
    "aa,3,3,psoriasis,inflammatory,non-neoplastic,,https://www.dermaamin.com/p/psoriasis1.jpg,x.jpg\n"
    "bb,-1,2,melanoma,malignant melanoma,malignant,1 Diagnostic,"
    "http://atlasdermatologico.com.br/img?imageId=1,y.jpg\n"
    "cc,6,-1,xanthomas,benign dermal,benign,,,z.jpg\n"
)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    write_text(tmp_path / "fitzpatrick17k.csv", HEADER + ROWS)
    write_images(tmp_path / "images", "aa.jpg", "bb.jpg", "cc.jpg")
    return tmp_path


def test_labels_skin_types_and_atlases_are_read(whole: Path) -> None:
    data = load_data(f"fitzpatrick17k:{whole}")
    assert data.sheet.labels[0] == "diagnosis"
    assert column(data, "diagnosis") == ["psoriasis", "melanoma", "xanthomas"]
    assert column(data, "malignant") == ["benign", "malignant", "benign"]
    assert data.labels("three_partition_label").classes == ("benign", "malignant", "non-neoplastic")
    assert len(data.labels("nine_partition_label").classes) == 3
    assert column(data, "fitzpatrick_scale") == ["3", "unknown", "6"]
    assert column(data, "source") == ["dermaamin", "atlasdermatologico", None]
    assert {"qc", "url", "url_alphanum", "label"} == set(data.withheld)
    assert column(data, "group") == ["aa", "bb", "cc"]
    assert data.choices == ()


def test_absent_images_are_left_out_and_counted(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (whole / "images" / "cc.jpg").unlink()
    data = load_data(f"fitzpatrick17k:{whole}")
    assert column(data, "image_id") == ["aa", "bb"]
    assert "data: 1 of 3 images are not there and left out (?allow_partial=0" in (
        capsys.readouterr().err
    )
    with pytest.raises(InputError, match=r"1 of 3 images are not under .*first: cc"):
        load_data(f"fitzpatrick17k:{whole}?allow_partial=0")


def test_what_is_wrong_is_named(whole: Path) -> None:
    with pytest.raises(InputError, match=r"no fitzpatrick17k.csv in .*mattgroh/fitzpatrick17k"):
        load_data(f"fitzpatrick17k:{whole}/images")
    write_text(whole / "fitzpatrick17k.csv", HEADER + ROWS.replace(",benign,", ",harmless,"))
    with pytest.raises(InputError, match="three_partition_label 'harmless' is none of malignant, "):
        load_data(f"fitzpatrick17k:{whole}")
