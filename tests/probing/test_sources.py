"""What methods read, from the command line: the patch grid, or the class token with the patches."""

import json

from conftest import assert_bad_input

SMALL = ("--backbone", "timm:test_vit?image_size=64", "--random-init", "--epochs", 1)


def test_methods_that_read_the_grid_leave_the_class_token_out(run_cli, image_folder):
    data = f"imagefolder:{image_folder}"
    result = run_cli("probe", "-d", data, "-m", "ep,clip,cbam", *SMALL, "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    assert {row["method"]: row["source"] for row in rows} == {
        "ep": "all",
        "clip": "patches",
        "cbam": "patches",
    }


def test_a_grid_and_the_class_token_exclude_each_other(run_cli, image_folder):
    data = f"imagefolder:{image_folder}"
    result = run_cli("probe", "-d", data, "-m", "cbam", "--tokens", "all", *SMALL)
    assert_bad_input(result, "method cbam reads the patch grid", "--tokens patches")
