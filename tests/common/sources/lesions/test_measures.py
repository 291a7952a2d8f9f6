"""Units and ranges of measured columns: given where they are certain."""

import pytest

from toolkit_common.sources.lesions.isic import SHEET as ISIC
from toolkit_common.sources.lesions.measures import MEASURED
from toolkit_common.sources.lesions.slice_3d import MEASURES
from toolkit_common.sources.lesions.slice_3d import SHEET as SLICE_3D

COLUMNS = {column.name: column for column in SLICE_3D.columns}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("clin_size_long_diam_mm", ("mm", 0, None)),
        ("tbp_lv_minorAxisMM", ("mm", 0, None)),
        ("tbp_lv_perimeterMM", ("mm", 0, None)),
        ("tbp_lv_areaMM2", ("mm2", 0, None)),
        ("tbp_lv_L", ("", 0, 100)),
        ("tbp_lv_Lext", ("", 0, 100)),
        ("tbp_lv_eccentricity", ("", 0, 1)),
        ("tbp_lv_H", ("degrees", None, None)),
        ("tbp_lv_A", ("", None, None)),
        ("tbp_lv_symm_2axis_angle", ("degrees", None, None)),
    ],
)
def test_what_is_certain_is_in_the_sheet(name, expected):
    column = COLUMNS[name]
    assert (column.unit, column.low, column.high) == expected


def test_every_name_that_tells_a_unit_has_it():
    for name in MEASURES:
        unit = {"MM2": "mm2", "MM": "mm", "_mm": "mm"}
        told = next((value for suffix, value in unit.items() if name.endswith(suffix)), None)
        assert told is None or COLUMNS[name].unit == told, name
    assert set(MEASURED) <= set(MEASURES)


def test_exports_of_the_archive_share_them():
    shared = [column for column in ISIC.columns if column.name in MEASURES[1:]]
    assert shared == [COLUMNS[column.name] for column in shared]
    assert len(shared) == len(MEASURES) - 1
