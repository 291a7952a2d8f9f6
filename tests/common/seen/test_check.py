"""The check before an encoder is judged: refused with the options that are right, or marked."""

from pathlib import Path

import numpy as np
import pytest

from helpers.seen_rows import export_seen, patients, record_of
from helpers.small_data import write_text
from toolkit_common.backbones.ids import parse_backbone_id
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.settings import SplitSettings
from toolkit_common.data.splits import Splits, make_splits, splits_table
from toolkit_common.errors import InputError
from toolkit_common.seen.check import SeenVerdict, check_seen, mark, trained_folder


def check(
    backbone: Path | str | None, data: ImageData, *, allow: bool = False, **how: object
) -> SeenVerdict:
    settings = SplitSettings(**how)
    return check_seen(
        None if backbone is None else str(backbone),
        data, make_splits(data, settings), settings=settings, allow_seen=allow,
    )  # fmt: skip


@pytest.fixture
def data() -> ImageData:
    return patients()


def test_the_splits_of_pre_training_are_right(tmp_path: Path, data: ImageData) -> None:
    verdict = check(export_seen(tmp_path / "e", record_of(data)), data)
    assert verdict.status == "unseen"
    assert "no patient, lesion or image of the 8 test images and 8 val images" in verdict.message


def test_other_splits_are_refused_with_the_right_options(tmp_path: Path, data: ImageData) -> None:
    fold = {"folds": 5, "fold": 1, "split_seed": 3}
    train = make_splits(data, SplitSettings(**fold)).train
    folder = export_seen(tmp_path / "e", record_of(data, train), settings=fold)
    right = r"give --split-seed 3 --folds 5 --fold 1"
    with pytest.raises(
        InputError, match=rf"of 8 test images .*{right}, or go on with --allow-seen"
    ):
        check(folder, data)
    with pytest.raises(InputError, match=rf"{right} in place of --folds 5 --fold 3, or"):
        check(folder, data, folds=5, fold=3)
    assert check(folder, data, **fold).status == "unseen"


def test_the_run_s_file_of_splits_is_offered_where_options_do_not_give_them(
    tmp_path: Path, data: ImageData
) -> None:
    splits = make_splits(data, SplitSettings(split_seed=5))
    folder = export_seen(tmp_path / "my run/encoder", record_of(data, splits.train), settings={})
    file = write_text(
        tmp_path / "my run/splits.csv", splits_table(splits, data).to_csv(index=False)
    )
    with pytest.raises(InputError, match=r"give --splits '.*my run/splits\.csv', or go on"):
        check(folder, data)
    assert check(folder, data, splits=file).status == "unseen"


def test_where_no_splits_are_right_that_is_told(tmp_path: Path, data: ImageData) -> None:
    folder = export_seen(tmp_path / "e", record_of(data, np.arange(40)))
    with pytest.raises(InputError, match=r"8 of 8 test .*: its splits all hold such rows; name"):
        check(folder, data)
    verdict = check(folder, data, allow=True)
    assert verdict.status == "seen"
    assert "8 of 8 test images (4 of 4 groups)" in verdict.message


def test_weights_of_an_export_are_known_under_any_name(tmp_path: Path, data: ImageData) -> None:
    folder = export_seen(tmp_path / "run/encoder", record_of(data, np.arange(40)))
    for text in (
        f"{tmp_path / 'run'}", f"{folder}?layers=all",
        f"timm:test_vit?weights={folder / 'encoder.safetensors'}",
    ):  # fmt: skip
        assert trained_folder(parse_backbone_id(text)) in (folder, tmp_path / "run")
        with pytest.raises(InputError, match="was pre-trained on"):
            check(text, data)
    assert check("timm:test_vit", data) == check(None, data) == SeenVerdict()
    other = f"{folder}?weights={write_text(tmp_path / 'other.safetensors', '')}"
    assert trained_folder(parse_backbone_id(other)) is None


def test_what_cannot_be_told_is_a_verdict_of_its_own(
    tmp_path: Path, data: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check(export_seen(tmp_path / "silent"), data).status == "unknown"
    folder = export_seen(tmp_path / "e", record_of(data), settings={})
    monkeypatch.setenv("TOOLKIT_SITE_SECRET", str(tmp_path / "another"))
    assert check(folder, data).status == "unseen"
    assert check(folder, patients("q", images=40)).status == "unknown"
    with pytest.raises(InputError, match=r"other splits.*give --split-seed 0 in place of --sp"):
        check(folder, data, split_seed=1)
    assert check(folder, data, split_seed=1, allow=True).status == "unknown"


def test_new_images_are_a_test_split_of_their_own(tmp_path: Path, data: ImageData) -> None:
    folder = export_seen(tmp_path / "e", record_of(data, np.arange(10)))
    new = Splits(np.arange(0), np.arange(0), np.arange(5, 40), "new images")
    with pytest.raises(InputError, match=r"of 5 of 35 test images \(3 of 18 groups\); 5 by group"):
        check_seen(str(folder), data, new, settings=SplitSettings(), allow_seen=False)


def test_figures_are_marked_by_what_is_known() -> None:
    marked = [mark("0.5", status) for status in ("seen", "unknown", "unseen", "")]
    assert marked == ["0.5\nSEEN", "0.5\nSEEN?", "0.5", "0.5"]


def test_rows_of_any_split_are_judged_whatever_the_splits_are(
    tmp_path: Path, data: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = export_seen(tmp_path / "e", record_of(data))
    none, rows = np.zeros(0, int), np.arange(len(data))
    everything = Splits(none, none, rows, "all")
    seen = make_splits(data).train
    with pytest.raises(InputError, match=rf"of {len(seen)} of 40 test .*: leave them out, or go"):
        check_seen(str(folder), data, everything, settings=None, allow_seen=False)
    verdict = check_seen(str(folder), data, everything, settings=None, allow_seen=True)
    assert sorted(verdict.rows) == seen.tolist()
    # At another site nobody can be told apart: its own splits say nothing of all rows.
    other = write_text(tmp_path / "other", "0f" * 32)
    other.chmod(0o600)
    monkeypatch.setenv("TOOLKIT_SITE_SECRET", str(other))
    with pytest.raises(InputError, match=r"cannot be judged on 'small': .*another secret"):
        check_seen(str(folder), data, everything, settings=None, allow_seen=False)
