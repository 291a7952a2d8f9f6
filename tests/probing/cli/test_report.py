"""`toolkit report`: options that exclude each other are refused before a run is read."""

import pytest

from conftest import assert_bad_input


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--format", "md", "--json"], "--json and --format md exclude each other"),
        (["--leaderboard", "--by", "sex"], "--by is of the report: leave it out of --leaderboard"),
        (["--output", "page.txt"], "page.txt: give a file that ends in .html"),
    ],
)
def test_options_that_exclude_each_other_are_refused(run_cli, args, message):
    assert_bad_input(run_cli("report", "none", *args), message)
