"""Published rows: the figures of the source, and files of others."""

import pytest

from helpers.leaderboards import STAND_IN
from toolkit_common.errors import InputError
from toolkit_common.seed import derive_seed
from toolkit_probing.published.rows import METHODS, PublishedData, read_published


def test_the_37_rows_are_those_of_the_source():
    published = read_published()
    rows = published.rows
    assert len(rows) == 37
    assert published.commit == "b8f4fb84e8127d41aaad997d35b98c2f43f33125"
    assert published.citation.endswith("results.csv and logs, at b8f4fb8")
    assert (published.protocol, published.data.title) == ("ep-paper", "ImageNet-1k")
    mae = rows["mae-vit-b-16"]
    assert [mae.top1(method) for method in METHODS] == [35.57, 67.78, 75.46]
    assert [mae.parameters(method) for method in METHODS] == [0, 769_000, 1_383_400]
    assert rows["dit-dit-xl-2"].ep.queries == 128
    # The sums of the columns of results.csv: no figure was mistyped.
    sums = [sum(row.top1(method) for row in rows.values()) for method in METHODS]
    assert sums == pytest.approx([2271.91, 2840.04, 2980.12])


def test_the_eight_rows_with_random_layers_are_marked():
    marked = {name for name, row in read_published().rows.items() if row.stochastic}
    assert marked == {
        "capi-vit-l-14", "simmim-vit-b-16", "beitv2-vit-b-16", "dinov3-vit-b-16",
        "dinov3-vit-l-16", "dinov3-vit-7b-16", "radio-vit-b-16", "radio-vit-l-16",
    }  # fmt: skip


def test_trained_parameters_are_those_that_the_logs_count():
    """EP's count is d^2 + q d + (d + 1) c for the width d that linear's gives."""
    rows = read_published().rows.values()
    same_width = [row for row in rows if row.linear.reads in ("cls", "mean")]
    assert len(same_width) == 29
    for row in same_width:
        dim = row.linear.parameters // 1000 - 1
        assert row.ep.parameters == dim * dim + row.ep.queries * dim + (dim + 1) * 1000


def test_data_are_told_apart_by_their_numbers():
    data = PublishedData(title="a", classes=2, train=12, test=8)
    assert data.differs_in(classes=2, train=12, test=8) == ""
    assert data.differs_in(classes=3, train=12, test=7) == (
        "3 classes and not 2, 7 test images and not 8"
    )


def test_a_row_is_found_in_any_case_and_a_near_one_named():
    published = read_published()
    assert published.row("MAE-ViT-B-16").title == "MAE ViT-B/16"
    with pytest.raises(InputError, match=r"row 'mae-vit-b16'; did you mean 'mae-vit-b-16'.*--list"):
        published.row("mae-vit-b16")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("top1: 95, reads: cls", "top1: 101, reads: cls", r"line 17: rows.tiny-vit.linear"),
        ("reads: cls", "reads: token", "input should be 'cls'"),
        ("queries: 4", "queries: 0", "greater than or equal to 1"),
        ("  tiny-vit:", "  Tiny ViT:", "small letters, digits"),
        ("family: MIM", "famly: MIM", "rows.tiny-vit"),
        ('    backbone: "timm:test_vit?image_size=32&final_norm=none"\n', "", "weights of which"),
    ],
)
def test_a_file_that_is_none_is_refused_with_its_line(tmp_path, old, new, message):
    file = tmp_path / f"{derive_seed(0, old, new)}.yaml"
    file.write_text(STAND_IN.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        read_published(file)


def test_a_commit_of_digits_is_a_word(tmp_path):
    (tmp_path / "rows.yaml").write_text(STAND_IN)
    assert read_published(tmp_path / "rows.yaml").citation == "generated images, at 0123456"
