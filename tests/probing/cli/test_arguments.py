"""Lists with commas, and JSON that any reader takes."""

import json

import pytest

from toolkit_probing.cli.arguments import print_json, split_names


def test_names_lose_blanks_and_empty_ones_are_none():
    assert split_names(" auroc, top1 ,,") == ["auroc", "top1"]
    assert split_names("") == []


def test_what_json_cannot_hold_is_not_printed(capsys):
    print_json({"a": [1.5, None]})
    assert json.loads(capsys.readouterr().out) == {"a": [1.5, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        print_json({"a": float("nan")})
    assert capsys.readouterr().out == ""
