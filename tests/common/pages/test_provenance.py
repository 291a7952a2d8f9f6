"""Where the figures of a page come from, as run.json says."""

from toolkit_common.pages.provenance import command_of, listed, origin

FACTS = {"starts": ["2026-01-01", "2026-01-02"], "commit": None, "versions": {"torch": "2"},
         "machine": {"num_threads": 1, "gpus": []}, "data": "a" * 64,
         "command": ["toolkit", "probe", "--data", "csv:my file.csv"]}  # fmt: skip


def test_a_run_says_when_with_what_and_where_it_was_made():
    assert list(origin(FACTS)) == [
        ("begun", "2026-01-01, 2026-01-02"),
        ("commit", "not known"),
        ("versions", "torch 2"),
        ("machine", "num threads 1"),
        ("hashes", f"data {'a' * 12}"),
    ]
    assert [value for _, value in origin({})] == ["", "not known", "", "", ""]


def test_a_command_can_be_pasted_and_what_is_not_there_is_left_out():
    assert command_of(FACTS) == "toolkit probe --data 'csv:my file.csv'"
    there = {"command": ["toolkit", "probe", "--backbone", "timm:vit?weights=/home/a b/own.pth"]}
    assert command_of(there) == "toolkit probe --backbone 'timm:vit?weights=PATH/own.pth'"
    assert command_of({}) == command_of({"command": True}) == ""
    assert listed({"a_b": 0, "c": None, "d": []}) == "a b 0"
