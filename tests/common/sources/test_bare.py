"""A table without a sheet of its own is suspected of what the lesion archives call leaks."""

from pathlib import Path

from helpers.small_data import write_images, write_text
from toolkit_common.sources.bare import SUSPECTS, bare_sheet
from toolkit_common.sources.load import load_data


def test_the_suspects_are_columns_of_lesion_archives_under_names_of_their_own() -> None:
    assert {"biopsed", "dx_type", "diagnosis_confirm_type", "iddx_full"} <= set(SUSPECTS)
    assert not {"target", "pixels_x", "pixels_y", "age", "sex"} & set(SUSPECTS)


def test_a_suspect_is_no_leak_yet() -> None:
    sheet = bare_sheet("mine", licence="CC0")
    assert (sheet.title, sheet.licence, sheet.leaks) == ("mine", "CC0", {})
    assert sheet.suspects["biopsed"].startswith("decided after the diagnosis")


def test_tables_of_the_user_get_it(tmp_path: Path) -> None:
    write_images(tmp_path, "0.png", "1.png")
    path = write_text(tmp_path / "mine.csv", "image,label\n0.png,a\n1.png,b\n")
    assert load_data(f"csv:{path}").sheet == bare_sheet("mine")
