"""Metadata encoders are found by what encoder.json says; who cannot read them says why."""

import json

import pytest

from helpers.tiny_encoders import export
from toolkit_common.backbones import metadata
from toolkit_common.backbones.exported import DESCRIPTION, sealed
from toolkit_common.backbones.metadata import load_metadata_encoders
from toolkit_common.errors import InputError
from toolkit_common.runs.files import write_json


def made_by(folder, method):
    export(folder)
    path = folder / DESCRIPTION
    described = json.loads(path.read_text())
    write_json(path, sealed({**described, "provenance": {"method": method}}))
    return folder


def test_an_export_of_images_alone_has_none(tmp_path):
    with pytest.raises(InputError, match="encoder has an image encoder alone"):
        load_metadata_encoders(export(tmp_path / "encoder"))


def test_without_the_package_that_reads_them_the_command_to_install_it_is_printed(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(metadata, "entry_points", lambda group: ())
    with pytest.raises(InputError, match=r"made by SLIMP, .*: pip install toolkit-slimp$"):
        load_metadata_encoders(made_by(tmp_path / "encoder", "SLIMP"))


def test_a_file_cannot_say_what_to_install(tmp_path):
    with pytest.raises(InputError, match=r"made by another, which is not installed$"):
        load_metadata_encoders(made_by(tmp_path / "encoder", "another"))


def test_the_method_names_the_loader(tmp_path, monkeypatch):
    class Point:
        name = "ours"

        def load(self):
            return lambda folder: ("loaded", folder)

    monkeypatch.setattr(metadata, "entry_points", lambda group: {metadata.GROUP: [Point()]}[group])
    folder = made_by(tmp_path / "run/encoder", "OURS")
    assert load_metadata_encoders.__wrapped__(folder.parent) == ("loaded", folder)
