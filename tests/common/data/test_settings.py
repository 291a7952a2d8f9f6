"""Splits that cannot be are refused where they are requested, before any data are read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from conftest import assert_bad_input
from toolkit_common.data.settings import SplitSettings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 2}, "folds must be 3 or more .* got 2"),
        ({"folds": 4, "fold": 4}, "fold must be 0 to 3 with folds=4, got 4"),
        ({"fold": 1}, "fold=1 needs folds"),
        ({"folds": 4, "splits": Path("s.csv")}, "from s.csv or from folds=4, not from both"),
    ],
)
def test_folds_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SplitSettings(**options)


@pytest.mark.parametrize("command", ["probe --data", "pretrain slimp --data", "data audit"])
def test_every_command_over_splits_refuses_them_in_one_line(
    run_cli: Callable[..., Result], command: str
) -> None:
    result = run_cli(*command.split(), "csv:none.csv", "--folds", 5, "--fold", 5)
    assert_bad_input(result, "fold must be 0 to 4 with folds=5, got 5")
