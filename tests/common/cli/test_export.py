"""`toolkit export` finds who exports probes among the installed packages."""

from importlib.metadata import entry_points

import pytest

from toolkit_common.cli import export
from toolkit_common.errors import InputError


def test_probes_are_exported_by_the_package_that_made_them(monkeypatch) -> None:
    (point,) = entry_points(group=export.GROUP)
    assert point.name == export.ONNX
    monkeypatch.setattr(export, "entry_points", lambda group: ())
    with pytest.raises(InputError, match="--onnx exports probes: pip install toolkit-probing"):
        export.find_exporter(export.ONNX)
