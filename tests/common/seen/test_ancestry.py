"""What is inherited: everyone whom the encoders before have seen, and how they were trained."""

from pathlib import Path

from helpers.seen_rows import export_seen, patients, record_of
from toolkit_common.backbones.ids import parse_backbone_id
from toolkit_common.seen.ancestry import Ancestry, read_ancestry


def test_an_export_hands_on_its_records_and_its_lineage(tmp_path: Path) -> None:
    first = {"method": "SLIMP", "data": "slice-3d", "data_licence": "CC-BY-NC"}
    records = (record_of(patients()), record_of(patients("q", images=40)))
    folder = export_seen(tmp_path / "e", *records, lineage=[first], data="hiba",
                         data_licence="CC-BY", settings={"seed": 0})  # fmt: skip
    ancestry = read_ancestry(parse_backbone_id(str(folder)))
    assert [item.to_json() for item in ancestry.records] == [item.to_json() for item in records]
    assert ancestry.lineage == (first, {"method": "SLIMP", "data": "hiba", "data_licence": "CC-BY"})
    assert ancestry.describe() == [
        "continues an encoder of SLIMP, trained on slice-3d (licence: CC-BY-NC)",
        "continues an encoder of SLIMP, trained on hiba (licence: CC-BY)",
    ]


def test_published_weights_have_none() -> None:
    assert read_ancestry(parse_backbone_id("timm:test_vit")) == Ancestry()
