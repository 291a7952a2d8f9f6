"""`toolkit doctor` prints what it finds and fails when something is broken."""

import json
from collections.abc import Callable

import pytest
from typer.testing import Result

from toolkit_common.cli import health as doctor

RunCli = Callable[..., Result]


@pytest.fixture
def two_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_error() -> str:
        raise OSError("library not found")

    monkeypatch.setattr(doctor, "CHECKS", {"disk": lambda: "9 GiB free", "vision": raise_error})


def test_a_sound_installation_is_exit_code_0(run_cli: RunCli) -> None:
    result = run_cli("doctor")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) == len(doctor.CHECKS)
    assert all(line.startswith("ok   ") for line in lines)


@pytest.mark.usefixtures("two_checks")
def test_a_broken_part_is_marked_and_exit_code_1(run_cli: RunCli) -> None:
    result = run_cli("doctor")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "ok   disk         9 GiB free",
        "BAD  vision       OSError: library not found",
    ]


@pytest.mark.usefixtures("two_checks")
def test_json_holds_the_same(run_cli: RunCli) -> None:
    result = run_cli("doctor", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == [
        {"name": "disk", "ok": True, "value": "9 GiB free"},
        {"name": "vision", "ok": False, "value": "OSError: library not found"},
    ]
