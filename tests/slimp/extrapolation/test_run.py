"""`toolkit extrapolate slimp`, from the command line to the file."""

import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from conftest import assert_bad_input
from helpers.similar_lesions import shuffle_columns, swap_splits, write_lesions
from helpers.slimp_run import pretrain
from toolkit_common.data.extrapolated import read_extrapolated
from toolkit_common.seen.secret import keyed_digests, make_secret
from toolkit_slimp.extrapolation.asking import Answers
from toolkit_slimp.extrapolation.run import _why_nobody

pytestmark = pytest.mark.slow

LEAKY = ["label", "answer"]


def rows_of(path: Path) -> pd.DataFrame:
    return read_extrapolated(path).rows.set_index("image_id")


def truth_of(lesions: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(lesions / name).set_index("image")


def test_what_pictures_tell_is_told_and_what_they_do_not_stays_missing(
    extrapolate, lesions, tmp_path
):
    result = extrapolate("--json")
    assert result.exit_code == 0, result.output
    rows, truth = rows_of(tmp_path / "f.parquet"), truth_of(lesions, "new.csv")
    assert list(rows) == [
        "content", "neighbour", "similarity", "shade", "level", "abstained", "seen",
    ]  # fmt: skip
    known = truth["shade"].notna()
    assert (rows["shade"] == truth["shade"])[known].mean() > 0.9
    assert (rows["level"] - truth["level"])[known].abs().median() < 12
    agreement = {item["column"]: item for item in json.loads(result.stdout)["agreement"]}
    assert {name: item["has_lift"] for name, item in agreement.items()} == {
        "shade": True, "level": True, "luck": False,
    }  # fmt: skip
    assert agreement["shade"]["missed"] < 0.1 < 0.5 < agreement["shade"]["random"]
    assert agreement["luck"]["num_patients"] > 20


def test_patients_columns_are_told_when_requested(extrapolate, tmp_path):
    assert extrapolate("--level", "patient").exit_code == 0
    item = read_extrapolated(tmp_path / "f.parquet")
    assert [(column.name, column.level) for column in item.columns] == [("age", "patient")]
    assert item.rows["age"].isin([20, 40, 60]).all()  # somebody's, not a mean of two


def test_no_label_and_no_leak_changes_a_byte(extrapolate, lesions, tmp_path):
    reference = f"csv:{lesions / 'table.csv'}"
    assert extrapolate("--reference", reference, name="a.parquet").exit_code == 0
    shuffled = [
        shuffle_columns(f"csv:{lesions / name}.csv", lesions / f"{name}-shuffled.csv", LEAKY)
        for name in ("table", "new")
    ]
    moved = extrapolate("--reference", shuffled[0], data=shuffled[1], name="b.parquet")
    assert moved.exit_code == 0, moved.output
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_the_mask_tells_nothing_of_the_label(extrapolate, lesions, tmp_path):
    truth = truth_of(lesions, "new.csv")
    # In the reference and in truth it does: labels `b` lack their metadata.
    assert truth["shade"].isna().groupby(truth["label"]).mean()["b"] > 0.3
    assert extrapolate().exit_code == 0
    assert rows_of(tmp_path / "f.parquet")[["shade", "level"]].notna().all(axis=None)


def test_a_threshold_that_nobody_reaches_is_named(extrapolate, lesions, tmp_path):
    result = extrapolate("--threshold", "1")
    assert_bad_input(result, "near enough are 0", "lower --threshold 1, or name a larger")
    lines = ["image,label,group"]
    for number in range(6):
        stripes = np.full((16, 16, 3), number, np.uint8)
        stripes[::2, :, 0] = stripes[1::2, :, 1] = 255
        Image.fromarray(stripes).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,a,s{number}")
    (tmp_path / "striped.csv").write_text("\n".join(lines) + "\n")
    striped = f"csv:{tmp_path / 'striped.csv'}"
    result = extrapolate("--threshold", "0.99", data=striped, name="none.parquet")
    assert_bad_input(result, "none of the 6 images", "a cosine of 0.", "lower --threshold 0.99")
    assert not (tmp_path / "none.parquet").exists()


def test_images_without_lesions_of_others_are_no_matter_of_a_threshold():
    answers = Answers(np.zeros(2, int), np.full(2, -np.inf), {}, np.zeros(2, bool))
    for threshold in (None, 0.5):
        assert _why_nobody(answers, threshold).startswith("of 2 images none has a lesion of other")


def test_bank_and_data_set_say_the_same(extrapolate, lesions, tmp_path):
    assert extrapolate(name="bank.parquet").exit_code == 0
    reference = f"csv:{lesions / 'table.csv'}"
    assert extrapolate("--reference", reference, name="data.parquet").exit_code == 0
    one, other = (rows_of(tmp_path / name) for name in ("bank.parquet", "data.parquet"))
    pd.testing.assert_frame_equal(one, other, rtol=1e-4)


def test_nobody_is_told_by_himself(extrapolate, lesions, tmp_path):
    """Neither in the reference's own data set, nor as a copy of an image under another name."""
    assert extrapolate("--neighbours", 1, data=f"csv:{lesions / 'table.csv'}").exit_code == 0
    truth, rows = truth_of(lesions, "table.csv"), rows_of(tmp_path / "f.parquet")
    digests = keyed_digests(make_secret(), "bank image", truth.index)
    owners = dict(zip((f"{digest:016x}" for digest in digests), truth["group"], strict=True))
    neighbours = rows["neighbour"].map(owners)
    assert (neighbours != truth["group"].reindex(rows.index)).all()
    # Of p0, by its image's content alone: both of its lesions are left out.
    copy = lesions / "new" / "copy.png"
    copy.write_bytes((lesions / "table" / "p0-0.png").read_bytes())
    lines = (lesions / "new.csv").read_text() + "new/copy.png,a,stranger,train,,,,a,20\n"
    (lesions / "copied.csv").write_text(lines)
    told = extrapolate("--neighbours", 1, data=f"csv:{lesions / 'copied.csv'}", name="c.parquet")
    assert told.exit_code == 0, told.output
    row = rows_of(tmp_path / "c.parquet").loc["new/copy.png"]
    assert owners[row["neighbour"]] != "p0"
    assert row["seen"]


def test_who_has_no_lesion_near_enough_has_no_value(extrapolate, tmp_path):
    assert extrapolate().exit_code == 0
    similarity = rows_of(tmp_path / "f.parquet")["similarity"]
    threshold = float(similarity.quantile(0.25))
    assert extrapolate("--threshold", threshold, name="t.parquet").exit_code == 0
    rows = rows_of(tmp_path / "t.parquet")
    assert 0.2 < rows["abstained"].mean() < 0.6
    assert rows.loc[rows["abstained"], ["shade", "level"]].isna().all(axis=None)
    assert rows.loc[~rows["abstained"], ["shade", "level"]].notna().all(axis=None)
    assert (rows["similarity"][~rows["abstained"]] >= threshold).all()


def test_who_was_seen_is_refused_or_named(extrapolate, lesions, tmp_path):
    data = swap_splits(f"csv:{lesions / 'table.csv'}", lesions / "turned.csv")
    assert_bad_input(extrapolate(data=data), "pre-trained on", "--allow-seen")
    assert not (tmp_path / "f.parquet").exists()
    assert extrapolate("--allow-seen", data=data).exit_code == 0
    item = read_extrapolated(tmp_path / "f.parquet")
    assert item.facts["seen"] == "seen"
    assert item.rows["seen"].sum() == 60


def test_the_printed_next_step_works_when_pasted(extrapolate, run_cli, tmp_path):
    result = extrapolate("--folds", "4", "--fold", "2")
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("next: "))
    words = shlex.split(line.removeprefix("next: toolkit "))
    assert words[0] == "probe"
    probed = run_cli(*words, "--method", "knn", "--output", tmp_path / "probe")
    assert probed.exit_code == 0, probed.output
    facts = json.loads((tmp_path / "probe/results.json").read_text())["inputs"]
    assert facts["read"] == "image+extrapolated"


def test_a_csv_is_for_people(extrapolate, tmp_path):
    assert extrapolate(name="f.csv").exit_code == 0
    assert len(pd.read_csv(tmp_path / "f.csv")) == 40


def test_the_file_says_who_made_it_and_names_nobody(extrapolate, tmp_path):
    assert extrapolate().exit_code == 0
    item = read_extrapolated(tmp_path / "f.parquet")
    assert item.facts["reference"]["patients"] == 30
    assert item.facts["reference"]["held_out_lesions"] == 60
    assert len(item.facts["encoder"]["weights_sha256"]) == 64
    assert item.facts["settings"] == {
        "neighbours": 10, "temperature": 0.07, "threshold": None, "level": "lesion",
    }  # fmt: skip
    text = json.dumps(item.facts)
    assert "p1" not in text
    assert str(tmp_path.parent) not in text


def test_without_lift_nothing_is_written(extrapolate, lesions, tmp_path):
    # Of 1 in 20 shuffles a column has lift by chance, as with seed 7.
    blind = shuffle_columns(
        f"csv:{lesions / 'table.csv'}", lesions / "blind.csv", ["shade", "level"], seed=8
    )
    result = extrapolate("--reference", blind)
    assert_bad_input(result, "nothing is written", "shade, level, luck")
    assert not (tmp_path / "f.parquet").exists()


def test_too_few_held_out_patients_judge_no_column(extrapolate, lesions, tmp_path, monkeypatch):
    for name in ("agreement", "run"):
        monkeypatch.setattr(f"toolkit_slimp.extrapolation.{name}.FEWEST_PATIENTS", 31)
    table = pd.read_csv(lesions / "table.csv")
    known = table[(table["split"] == "val") & table["shade"].notna()]["group"].nunique()
    message = f"a lesion near enough are {known}, and a column (shade, level, luck) is judged by 31"
    assert_bad_input(extrapolate(), "nothing is written", message)
    assert not (tmp_path / "f.parquet").exists()


def test_what_cannot_be_written_is_refused_first(extrapolate, tmp_path):
    (tmp_path / "f.parquet").write_text("mine")
    assert_bad_input(extrapolate(), "f.parquet exists", "--overwrite")
    assert (tmp_path / "f.parquet").read_text() == "mine"
    assert_bad_input(extrapolate(name="f.json"), "ends in .parquet, or .csv")
    assert extrapolate("--overwrite").exit_code == 0


def test_a_run_without_bank_wants_a_reference(lesions, run_cli, tmp_path):
    data = write_lesions(tmp_path, patients=10)
    run = pretrain(data, tmp_path / "plain", allow_leaks="answer")
    result = run_cli("extrapolate", "slimp", "--from", run, "--data", data, "-o", "f.parquet")
    assert_bad_input(result, "no reference bank", "--bank", "--reference")
