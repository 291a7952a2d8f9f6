"""`toolkit export` finds who exports probes among the installed packages."""

import re
from importlib.metadata import entry_points

import pytest
from typer.testing import CliRunner

from toolkit_common.cli import export
from toolkit_common.cli.app import app
from toolkit_common.errors import InputError


def test_probes_are_exported_by_the_package_that_made_them(monkeypatch) -> None:
    (point,) = entry_points(group=export.GROUP)
    assert point.name == export.ONNX
    monkeypatch.setattr(export, "entry_points", lambda group: ())
    with pytest.raises(InputError, match="--onnx exports probes: pip install toolkit-probing"):
        export.find_exporter(export.ONNX)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give one of OUT, .* and --onnx FILE"),
        (["out", "--onnx", "p.onnx"], "give one of OUT, .* and --onnx FILE"),
        (["out", "--row", "ep"], "--row is of --onnx: drop it"),
        (["--onnx", "p.onnx", "--keep-seen-hashes"], "--keep-seen-hashes is of OUT, an encoder"),
        (["--onnx", "p.onnx", "--probed", "r"], "--probed is of OUT, an encoder to publish"),
    ],
)
def test_the_two_kinds_of_export_do_not_mix(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["export", "--from", "run", *arguments])
    assert result.exit_code == 2
    assert re.search(message, " ".join(result.stderr.split()))
