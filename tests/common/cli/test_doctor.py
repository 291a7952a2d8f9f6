"""`toolkit doctor` prints what it looks at; a broken part is a finding, exit code 1, no crash."""

import json
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError

import pytest
from typer.testing import Result

from toolkit_common.cli import doctor
from toolkit_common.cli.doctor import CHECKS, Finding, examine

RunCli = Callable[..., Result]


def raise_error() -> str:
    raise OSError("library not found")


@pytest.fixture
def two_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CHECKS", {"disk": lambda: "9 GiB free", "vision": raise_error})


def test_a_sound_installation_is_exit_code_0(run_cli: RunCli) -> None:
    result = run_cli("doctor")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) == len(doctor.CHECKS)
    assert all(line.startswith("ok ") for line in lines)


@pytest.mark.usefixtures("two_checks")
def test_a_broken_part_is_marked_and_exit_code_1(run_cli: RunCli) -> None:
    result = run_cli("doctor")
    assert result.exit_code == 1
    assert [line.rstrip() for line in result.stdout.splitlines()] == [
        "ok   disk    9 GiB free",
        "BAD  vision  OSError: library not found",
    ]


@pytest.mark.usefixtures("two_checks")
def test_json_holds_the_same(run_cli: RunCli) -> None:
    result = run_cli("doctor", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == [
        {"name": "disk", "ok": True, "value": "9 GiB free"},
        {"name": "vision", "ok": False, "value": "OSError: library not found"},
    ]


def test_what_only_an_extra_brings_may_be_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name in missing:
            raise PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(doctor, "version", version)
    missing = ["peft"]
    packages = CHECKS["packages"]()
    assert "peft absent (of --tune lora alone)" in packages
    assert "torch 1, " in packages
    missing = ["timm"]
    with pytest.raises(PackageNotFoundError, match="timm"):
        CHECKS["packages"]()


# What it looks at


def test_a_sound_installation_has_no_bad_finding() -> None:
    findings = examine()
    assert [finding.name for finding in findings] == list(CHECKS)
    assert [finding for finding in findings if not finding.ok] == []
    assert all(finding.value for finding in findings)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("packages", "torch 2"),
        ("packages", "timm "),
        ("commands", "backbones, "),
        ("torchvision", " imports"),
        ("encoders", "timm:test_vit builds, grid 10 x 10"),
        ("devices", "1 threads"),
        ("memory", "iB free"),
        ("disk", "iB free here"),
    ],
)
def test_a_finding_says_what_was_seen(name: str, part: str) -> None:
    assert part in CHECKS[name]()


def test_a_check_that_raises_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    checks: dict[str, Callable[[], str]] = {"bad": raise_error, "good": lambda: "fine"}
    monkeypatch.setattr(doctor, "CHECKS", checks)
    assert examine() == [
        Finding("bad", ok=False, value="OSError: library not found"),
        Finding("good", ok=True, value="fine"),
    ]


@pytest.mark.parametrize(("value", "says"), [("1", "offline"), ("0", "used"), (None, "used")])
def test_it_says_whether_the_hub_is_used(
    monkeypatch: pytest.MonkeyPatch, value: str | None, says: str
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    if value is not None:
        monkeypatch.setenv("HF_HUB_OFFLINE", value)
    assert CHECKS["hub"]().startswith(says)
