"""`toolkit predict`: calls that cannot be are refused before a run is read."""

import pytest

from conftest import assert_bad_input


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "--images PATH, or --data ID, one of both"),
        (["--images", "a.png", "--data", "lesions"], "one of both"),
        (["--images", "a.png", "--split", "test"], "--split and --label are of --data"),
        (["--images", "a.png", "-o", "out.txt"], "out.txt: give a file that ends in .csv or .parq"),
    ],
)
def test_calls_that_cannot_be_are_refused_first(run_cli, args, message) -> None:
    assert_bad_input(run_cli("predict", "--from", "none", *args), message)
