"""`toolkit attention`: calls that cannot be are refused before a run is read."""

import pytest

from conftest import assert_bad_input


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("folder", "--output folder is a folder: give a file that ends in .png"),
        ("afile", "--output afile: give a file that ends in .png"),
        ("afile/maps.png", "--output in afile cannot be made: "),
    ],
)
def test_a_picture_that_cannot_be_written_is_refused_before_it_is_drawn(
    run_cli, tmp_path, output, message
):
    (tmp_path / "folder").mkdir()
    (tmp_path / "afile").write_text("kept")
    assert_bad_input(run_cli("attention", "--from", "run", "--output", output), message)
    assert (tmp_path / "afile").read_text() == "kept"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--num-images", "201"], "--num-images: at most 200 are drawn, got 201"),
        (["--masks", "masks"], "--masks is what --stats holds maps against: add --stats"),
        (["--stats", "-o", "maps.png"], "maps.png: give a file that ends in .csv or .json"),
    ],
)
def test_options_of_drawing_and_of_counting_are_told_apart(run_cli, args, message):
    assert_bad_input(run_cli("attention", "--from", "none", *args), message)
