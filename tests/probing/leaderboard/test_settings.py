"""What of `--leaderboard` goes together."""

from conftest import assert_bad_input


def test_a_file_is_of_a_leaderboard_and_a_check_is_of_a_file(run_cli, tmp_path):
    into = ["--into", tmp_path / "a.md"]
    assert_bad_input(run_cli("report", tmp_path, *into), "--into is of --leaderboard")
    assert_bad_input(run_cli("report", tmp_path, "--leaderboard", "--check"), "name the file")
