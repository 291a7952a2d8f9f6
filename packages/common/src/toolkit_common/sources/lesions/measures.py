"""Units and ranges of what 3D total-body photography measures of a lesion (`tbp_lv_*`).

Given only where the name, docs/datasets.md or the definition of the quantity says so: lengths,
areas, spreads and chroma are not negative, L* is within 0 and 100, and the eccentricity of an
ellipse within 0 and 1. Hue is atan2(b*, a*) in degrees in the published rows. The rest have none:
a* and b*, contrasts, coordinates and scores of the camera's software.
"""

from toolkit_common.data.sheet import Column

MEASURED = {  # name -> unit, smallest and largest value
    **dict.fromkeys(
        ("clin_size_long_diam_mm", "tbp_lv_minorAxisMM", "tbp_lv_perimeterMM"), ("mm", 0, None)
    ),
    "tbp_lv_areaMM2": ("mm2", 0, None),
    "tbp_lv_area_perim_ratio": ("", 0, None),  # perimeter^2 / area
    "tbp_lv_eccentricity": ("", 0, 1),
    **dict.fromkeys(("tbp_lv_L", "tbp_lv_Lext"), ("", 0, 100)),
    **dict.fromkeys(("tbp_lv_C", "tbp_lv_Cext"), ("", 0, None)),
    **dict.fromkeys(("tbp_lv_H", "tbp_lv_Hext"), ("degrees", None, None)),
    **dict.fromkeys(
        ("tbp_lv_stdL", "tbp_lv_stdLExt", "tbp_lv_color_std_mean", "tbp_lv_radial_color_std_max"),
        ("", 0, None),
    ),
    "tbp_lv_nevi_confidence": ("", 0, None),  # 1e-12 to 100
}


def measured_column(name: str) -> Column:
    """Return a numeric column of a lesion with its unit and range, where these are certain."""
    unit, low, high = MEASURED.get(name, ("", None, None))
    return Column(name, "lesion", "numeric", unit=unit, low=low, high=high)
