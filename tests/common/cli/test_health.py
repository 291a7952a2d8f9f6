"""What `toolkit doctor` looks at, and that a broken part is a finding and no crash."""

from collections.abc import Callable

import pytest

from toolkit_common.cli import health as doctor
from toolkit_common.cli.health import CHECKS, Finding, examine


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


def raise_error() -> str:
    raise OSError("library not found")


def test_a_check_that_raises_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    checks: dict[str, Callable[[], str]] = {"bad": raise_error, "good": lambda: "fine"}
    monkeypatch.setattr(doctor, "CHECKS", checks)
    assert examine() == [
        Finding("bad", ok=False, value="OSError: library not found"),
        Finding("good", ok=True, value="fine"),
    ]


@pytest.mark.parametrize(("value", "says"), [("1", "offline"), ("0", "asked"), (None, "asked")])
def test_it_says_whether_the_hub_is_asked(
    monkeypatch: pytest.MonkeyPatch, value: str | None, says: str
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    if value is not None:
        monkeypatch.setenv("HF_HUB_OFFLINE", value)
    assert CHECKS["hub"]().startswith(says)
