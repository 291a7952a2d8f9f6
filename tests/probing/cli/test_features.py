"""`toolkit features`: it has no run folder, and names data that are not there."""

from conftest import assert_bad_input

WORDS = ["features", "--backbone", "timm:test_vit?image_size=32", "--random-init"]


def test_there_is_no_run_folder_to_name(run_cli):
    assert run_cli(*WORDS, "--data", "lesions", "--output", "there").exit_code == 2


def test_missing_data_is_one_line(run_cli):
    result = run_cli(*WORDS, "--data", "imagefolder:/nowhere")
    assert_bad_input(result, "no folder at /nowhere")
