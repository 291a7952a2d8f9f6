"""The file of extrapolated metadata: written, read back, refused where it is another's."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from helpers.extrapolated_file import COLUMNS, FACTS, told_of, write_told
from helpers.small_data import build_data, image_bytes
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.extrapolated import (
    KEY,
    Extrapolated,
    read_extrapolated,
    with_metadata,
    write_extrapolated,
)
from toolkit_common.data.sheet import Column
from toolkit_common.errors import InputError

ALL = np.arange(6)


@pytest.fixture
def data() -> ImageData:
    images = [image_bytes(seed) for seed in range(6)]
    return build_data(list("ababab"), images=images, groups=list("ppqqrr"), site=["own"] * 6)


@pytest.fixture
def item(data, tmp_path) -> Extrapolated:
    return read_extrapolated(write_told(tmp_path / "f.parquet", told_of(data)))


def test_what_is_written_is_read(data, item):
    expected = told_of(data)
    pd.testing.assert_frame_equal(item.rows, expected.rows, check_dtype=False)
    assert (item.columns, item.facts) == (COLUMNS, FACTS)
    assert len(item.sha256) == 64


def test_one_content_is_one_file_to_the_byte(data, tmp_path):
    one, other = (write_told(tmp_path / name, told_of(data)) for name in ("a.parquet", "b.parquet"))
    assert one.read_bytes() == other.read_bytes()


def test_rows_are_found_by_name_whatever_their_order(data, item):
    turned = replace(item, rows=item.rows.iloc[::-1].reset_index(drop=True))
    table = turned.table_of(data, ALL)
    assert table["size_mm"].tolist() == [0, 1, 2, 3, 4, 5]
    assert list(table) == ["image_id", "size_mm", "site"]


def test_rows_that_nobody_reads_may_be_missing(data, item):
    part = replace(item, rows=item.rows.iloc[:4])
    assert part.table_of(data, ALL[:4])["size_mm"].isna().tolist() == [False] * 4 + [True] * 2
    with pytest.raises(InputError, match=r"no row for 2 of 6 images of 'small' \(first: i4\)"):
        part.table_of(data, ALL)


def test_a_file_of_other_images_under_the_same_names_is_refused(data, item):
    other = build_data(list("ababab"), images=[image_bytes(seed) for seed in (0, 1, 2, 3, 4, 9)])
    assert len(item.table_of(other, ALL[:5])) == 6
    with pytest.raises(InputError, match="other images than 'small': i5 is another file here"):
        item.table_of(other, ALL)


def test_those_who_abstained_are_counted(data, item):
    item.rows["abstained"] = [True, False, True, False, False, True]
    assert item.num_abstained(data, ALL[:4]) == 2


def test_its_metadata_take_the_place_of_the_data_sets_own(data, item):
    changed = with_metadata(data, item.table_of(data, ALL), item.columns)
    assert changed.table["site"].tolist() == ["arm"] * 3 + ["leg"] * 3
    assert set(changed.table) == {"image_id", "group", "size_mm", "site"}  # the label is gone too
    assert changed.sheet.columns == COLUMNS
    assert data.table["site"].tolist() == ["own"] * 6


def test_a_table_for_people_is_no_file_to_read(data, tmp_path):
    write_extrapolated(tmp_path / "f.csv", told_of(data))
    assert len(pd.read_csv(tmp_path / "f.csv")) == 6
    with pytest.raises(InputError, match=r"f.csv is no file of extrapolated metadata, which"):
        read_extrapolated(tmp_path / "f.csv")


def test_what_is_no_such_file_is_refused(data, item, tmp_path):
    with pytest.raises(InputError, match=r"gone\.parquet does not exist: toolkit extrap"):
        read_extrapolated(tmp_path / "gone.parquet")
    pd.DataFrame({"image_id": ["a"]}).to_parquet(tmp_path / "own.parquet")
    with pytest.raises(InputError, match=r"own\.parquet is no file of extrapolated metadata: a t"):
        read_extrapolated(tmp_path / "own.parquet")
    doubled = replace(item, rows=pd.concat([item.rows, item.rows[:1]]))
    with pytest.raises(InputError, match="image 'i0' occurs more than once"):
        read_extrapolated(write_told(tmp_path / "twice.parquet", doubled))


def test_a_newer_file_is_refused(data, tmp_path):
    path = write_told(tmp_path / "f.parquet", told_of(data))
    table = pq.read_table(path)
    facts = {**json.loads(table.schema.metadata[KEY]), "version": 2}
    pq.write_table(table.replace_schema_metadata({KEY: json.dumps(facts)}), path)
    with pytest.raises(InputError, match=r"f\.parquet is of a newer toolkit"):
        read_extrapolated(path)


def test_a_column_of_the_files_own_name_is_refused(data, tmp_path):
    item = replace(told_of(data), columns=(Column("similarity", "lesion", "numeric"),))
    with pytest.raises(InputError, match="column 'similarity' of the reference"):
        write_extrapolated(tmp_path / "f.parquet", item)
    assert not list(Path(tmp_path).iterdir())
