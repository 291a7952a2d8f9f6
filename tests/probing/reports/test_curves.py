"""Curves over layers and labels."""

from io import BytesIO

from PIL import Image


def test_a_run_with_several_layers_has_a_curve(runs):
    path = runs / "a/curves/balanced_accuracy-by-layer"
    picture = Image.open(BytesIO(path.with_suffix(".png").read_bytes()))
    assert picture.width > picture.height > 300
    lines = path.with_suffix(".csv").read_text().splitlines()
    assert lines[0] == "curve,layer,mean,low,high"
    assert [line.split(",")[:2] for line in lines[1:]] == [
        ["linear-cls", "2"], ["linear-cls", "6"], ["knn-cls", "2"], ["knn-cls", "6"],
    ]  # fmt: skip
    assert not (runs / "b/curves").exists()
