"""`toolkit compare` and `toolkit report`: finished runs judged again from what they saved."""

import json
import os
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix, recall_score, roc_auc_score
from typer.testing import CliRunner

from conftest import assert_bad_input, write_image_folder
from toolkit_common.cli.app import app
from toolkit_common.runs.files import read_json, write_json
from toolkit_common.scores import statistics
from toolkit_probing.reports.page import MAX_PICTURED


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs on one table: `a` of three methods and layers, `b` of other learning rates."""
    root = tmp_path_factory.mktemp("runs")
    write_image_folder(root / "pictures", per_class=20)
    rng, lines = np.random.default_rng(0), ["image,label,group,site,age"]
    for name in ("dark", "light"):
        for index in range(20):
            site = ("arm", "back", "")[index % 3]
            age = rng.integers(20, 90)
            lines.append(f"pictures/{name}/{index:03d}.png,{name},p{index % 10},{site},{age}")
    (root / "table.csv").write_text("\n".join(lines) + "\n")
    shared = ["--data", f"csv:{root / 'table.csv'}", "--backbone", "timm:test_vit?image_size=32",
              "--random-init", "--store", "memory", "--epochs", "2"]  # fmt: skip
    previous = Path.cwd()
    os.chdir(root)
    for name, options in {
        "a": ["--method", "linear,knn", "--layers", "2,-1", "--num-seeds", "2"],
        "b": ["--method", "linear,knn", "--select-on", "test", "--epochs", "1"],
    }.items():
        made = CliRunner().invoke(app, ["probe", *shared, *options, "-o", str(root / name)])
        assert made.exit_code == 0, made.output
    os.chdir(previous)
    return root


@pytest.fixture
def copied(runs, tmp_path):
    """Copies of the runs that a test may spoil."""
    for name in ("a", "b"):
        shutil.copytree(runs / name, tmp_path / name)
    return tmp_path


def change_predictions(run: Path, **columns) -> None:
    """Replace columns of every predictions file by what functions make of them."""
    for path in (run / "predictions").iterdir():
        frame = pq.read_table(path).to_pandas()
        for name, change in columns.items():
            frame[name] = change(frame[name])
        pq.write_table(pa.Table.from_pandas(frame), path)


# Compare


def test_a_run_is_compared_with_its_first_row(run_cli, runs):
    result = run_cli("compare", runs / "a", "--metric", "top1,auroc", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    names = [entry["second_row"]["name"] for entry in found["comparisons"]]
    assert names[::2] == ["linear-layer6-cls", "knn-layer2-cls", "knn-layer6-cls"]
    rows = {row["name"]: row for row in read_json(runs / "a/results.json")["rows"]}
    for entry in found["comparisons"]:
        first = rows["linear-layer2-cls"]["metrics"][entry["metric"]]["mean"]
        second = rows[entry["second_row"]["name"]]["metrics"][entry["metric"]]["mean"]
        assert (entry["first"], entry["second"]) == (first, second)
        assert entry["difference"] == pytest.approx(second - first)
        assert entry["ci"][0] <= entry["difference"] <= entry["ci"][1]
        assert entry["p"] <= entry["p_holm"] <= 1


def test_two_runs_are_compared_by_the_names_of_their_rows(run_cli, runs):
    result = run_cli("compare", runs / "a", runs / "b", "--metric", "top1")
    assert result.exit_code == 0, result.output
    assert "linear-layer6-cls" in result.stdout
    assert "linear-layer2-cls" not in result.stdout
    assert "NOT SELECTED ALIKE: selected on test, selected on val" in result.stdout


def test_two_rows_can_be_chosen(run_cli, runs):
    rows = "knn-layer2-cls,linear-layer6-cls"
    result = run_cli("compare", runs / "a", runs / "b", "--rows", rows, "--json")
    names = {
        (entry["first_row"]["name"], entry["second_row"]["name"])
        for entry in json.loads(result.stdout)["comparisons"]
    }
    assert names == {("knn-layer2-cls", "linear-layer6-cls")}


def test_the_order_of_the_images_does_not_matter(run_cli, runs, copied):
    expected = run_cli("compare", runs / "a", runs / "b", "--json").stdout
    for path in (copied / "b/predictions").iterdir():
        table = pq.read_table(path)
        pq.write_table(table.take(np.arange(len(table))[::-1]), path)
    found = run_cli("compare", runs / "a", copied / "b", "--json").stdout
    for entry, other in zip(
        *(json.loads(x)["comparisons"] for x in (expected, found)), strict=True
    ):
        assert (entry["difference"], entry["p"]) == (other["difference"], other["p"])


def test_encoders_of_other_depth_are_matched_by_method(run_cli, copied):
    shutil.copytree(copied / "b", copied / "c")
    results = read_json(copied / "c/results.json")
    for row in results["rows"]:
        row |= {"layer": 12, "source": "mean", "name": f"{row['method']}-layer12-mean"}
    write_json(copied / "c/results.json", results)
    result = run_cli("compare", copied / "b", copied / "c", "--metric", "top1", "--json")
    pairs = [
        (entry["first_row"]["name"], entry["second_row"]["name"])
        for entry in json.loads(result.stdout)["comparisons"]
    ]
    assert pairs == [
        ("linear-layer6-cls", "linear-layer12-mean"),
        ("knn-layer6-cls", "knn-layer12-mean"),
    ]


def test_a_row_that_is_not_there_is_answered_with_the_nearest(run_cli, runs):
    result = run_cli("compare", runs / "a", "--rows", "knn-layer6-cls,knn-layer5-cls")
    assert_bad_input(result, "unknown row of", "'knn-layer5-cls'; did you mean 'knn-layer")


@pytest.mark.parametrize(
    ("columns", "parts"),
    [
        (
            {"image_id": lambda ids: ids.str.replace("dark/", "night/")},
            ["test images only in", "pictures/dark/", "pictures/night/"],
        ),
        ({"target": lambda targets: 1 - targets}, ["the class of", "differs, such as", "against"]),
        ({"group": lambda groups: groups + "x"}, ["the group of", "differs, such as", "against p"]),
    ],
)
def test_other_test_images_are_refused_and_named(run_cli, copied, columns, parts):
    change_predictions(copied / "b", **columns)
    result = run_cli("compare", copied / "a", copied / "b")
    assert_bad_input(result, "cannot be compared", *parts)


def test_another_label_is_refused(run_cli, copied):
    results = read_json(copied / "b/results.json")
    results["data"]["label"] = "other"
    write_json(copied / "b/results.json", results)
    result = run_cli("compare", copied / "a", copied / "b")
    assert_bad_input(result, "the labels differ: label against other")


def test_what_cannot_be_compared_says_why(run_cli, copied):
    a, b = copied / "a", copied / "b"
    assert_bad_input(run_cli("compare", a, b, a), "one run or two, got 3")
    assert_bad_input(run_cli("compare", a, "--rows", "x"), "--rows takes two names, got 1: x")
    assert_bad_input(run_cli("compare", a, "--metric", "confusion"), "no number", "toolkit report")
    assert_bad_input(run_cli("compare", a, "--metric", "auc"), "unknown metric 'auc'", "'auroc'")
    assert_bad_input(run_cli("compare", copied / "none"), "none is no finished probe run")
    (b / "DONE").unlink()
    assert_bad_input(run_cli("compare", a, b), "b is no finished probe run")
    results = read_json(a / "results.json")
    results["rows"] = results["rows"][:1]
    write_json(a / "results.json", results)
    assert_bad_input(run_cli("compare", a), "has one row, 'linear-layer2-cls'")


def test_runs_without_a_shared_row_name_both_sides(run_cli, copied):
    results = read_json(copied / "b/results.json")
    for row in results["rows"]:
        row["name"] = f"other-{row['name']}"
    write_json(copied / "b/results.json", results)
    result = run_cli("compare", copied / "a", copied / "b")
    assert_bad_input(result, "knn-layer2-cls", "other-knn-layer6-cls", "choose two with --rows")


def one_group(run: Path) -> None:
    change_predictions(run, group=lambda groups: groups.map(lambda _: "p0"))


def test_what_was_not_computed_is_not_called_undefined(run_cli, copied, monkeypatch):
    monkeypatch.setattr(statistics, "RANKING_LIMIT", 1)
    options = ["compare", copied / "a", "--metric", "auroc,top5"]
    shown = run_cli(*options).stdout
    assert "no interval: not computed: more than" in shown
    assert shown.count("undefined") == 3 * 5  # of top5: first, second, difference and both p
    assert shown.count("not computed") == 3 * 2 + 1
    monkeypatch.undo()
    monkeypatch.setenv("COLUMNS", "200")
    one_group(copied / "a")
    shown = run_cli("compare", copied / "a", "--metric", "top1").stdout
    assert "no interval: not computed: all images are of one group" in shown
    assert "undefined" not in shown


# Report


def test_a_report_says_why_figures_have_no_interval(run_cli, copied, tmp_path):
    one_group(copied / "a")
    page = tmp_path / "report.html"
    shown = run_cli("report", copied / "a", "--metric", "top1", "-o", page)
    for text in (shown.stdout, page.read_text()):
        assert "no interval: not computed: all images are of one group" in text
        assert "undefined" not in text


def test_metrics_are_recomputed_from_the_predictions(run_cli, runs):
    metrics = "auroc,sensitivity_at_80_specificity"
    result = run_cli("report", runs / "a", "--metric", metrics, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    rows = {row["name"]: row for row in read_json(runs / "a/results.json")["rows"]}
    assert [entry["name"] for entry in report["rows"]] == list(rows)
    for entry in report["rows"]:
        assert entry["metrics"]["auroc"] == rows[entry["name"]]["metrics"]["auroc"]
        assert 0 <= entry["metrics"]["sensitivity_at_80_specificity"]["mean"] <= 1


def test_subgroups_are_those_of_the_column(run_cli, runs, monkeypatch):
    monkeypatch.setattr("toolkit_probing.reports.tables.MAX_VALUES", 4)
    options = ["--by", "site,age", "--metric", "auroc,macro_f1", "--json"]
    report = json.loads(run_cli("report", runs / "a", *options).stdout)
    mine = [entry for entry in report["rows"] if entry["name"] == "knn-layer6-cls"]
    whole, sites = mine[0], [entry for entry in mine if entry["column"] == "site"]
    table = pq.read_table(runs / "a/test_rows.parquet").to_pandas()
    values = table["site"].fillna("missing")
    assert [entry["value"] for entry in sites] == sorted(values.unique())
    predictions = pq.read_table(runs / "a/predictions/knn-layer6-cls.parquet").to_pandas()
    assert table["image_id"].tolist() == predictions["image_id"].tolist()
    assert [entry["num_images"] for entry in sites] == list(values.value_counts().sort_index())
    quarters = [entry for entry in mine if entry["column"] == "age"]
    assert 2 <= len(quarters) <= 4
    assert quarters[0]["value"].startswith(f"{table['age'].astype(int).min()} to below ")
    assert sum(entry["num_images"] for entry in quarters) == whole["num_images"]
    back = predictions[(table["site"] == "back").to_numpy()]
    scores = np.stack(back["probabilities"].to_numpy())[:, 1]
    found = next(item for item in sites if item["value"] == "back")["metrics"]["auroc"]["mean"]
    if back["target"].nunique() == 2:
        assert found == pytest.approx(roc_auc_score(back["target"], scores))
    else:
        assert found is None


def test_what_is_undefined_in_a_subgroup_is_said(run_cli, copied):
    path = copied / "a/test_rows.parquet"
    frame = pq.read_table(path).to_pandas()
    frame["site"] = frame["label"]
    pq.write_table(pa.Table.from_pandas(frame), path)
    metrics = ["--metric", "balanced_accuracy,auroc"]
    result = run_cli("report", copied / "a", "--by", "site", *metrics, "--json")
    entry = next(item for item in json.loads(result.stdout)["rows"] if item["value"] == "dark")
    nothing = {"mean": None, "sd": None, "ci": None, "values": [None] * 2}
    told = {"resamples": 1000, "why_no_ci": "undefined"}
    assert entry["metrics"]["auroc"] == nothing | told
    predictions = pq.read_table(copied / "a" / f"predictions/{entry['name']}.parquet").to_pandas()
    dark = predictions[predictions["target"] == 0]
    found = np.stack(dark["probabilities"].to_numpy()).argmax(1)
    seeds = [dark["seed"] == seed for seed in (0, 1)]
    expected = [recall_score(dark["target"][of], found[of], pos_label=0) for of in seeds]
    assert entry["metrics"]["balanced_accuracy"]["values"] == pytest.approx(expected)
    assert "undefined" in run_cli("report", copied / "a", "--by", "site", *metrics).stdout


def test_the_confusion_is_counted_for_every_repeat_and_subgroup(run_cli, runs):
    options = ["--metric", "confusion,top1", "--by", "site"]
    result = run_cli("report", runs / "a", *options, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["metrics"] == ["top1"]
    mine = [entry for entry in report["rows"] if entry["name"] == "linear-layer6-cls"]
    table = pq.read_table(runs / "a/predictions/linear-layer6-cls.parquet").to_pandas()
    found = np.stack(table["probabilities"].to_numpy()).argmax(1)
    for seed, counts in enumerate(mine[0]["confusion"]):
        of = (table["seed"] == seed).to_numpy()
        assert counts == confusion_matrix(table["target"][of], found[of], labels=[0, 1]).tolist()
    assert len(mine[0]["confusion"]) == 2
    parts = [np.array(entry["confusion"]) for entry in mine[1:]]
    assert (sum(parts) == np.array(mine[0]["confusion"])).all()
    assert "confusion" not in json.loads(run_cli("report", runs / "a", "--json").stdout)["rows"][0]
    alone = run_cli("report", runs / "a", "--metric", "confusion")
    assert "true classes down" in alone.stdout
    assert "intervals" not in alone.stdout
    shown = run_cli("report", runs / "a", *options).stdout
    assert "confusion of linear-layer6-cls: true classes down" in shown
    assert "confusion of linear-layer6-cls, site: back" in shown


def test_the_confusion_of_many_classes_or_of_none_is_not_printed(run_cli, copied, monkeypatch):
    monkeypatch.setattr("toolkit_probing.reports.tables.MAX_PRINTED_CLASSES", 1)
    shown = run_cli("report", copied / "a", "--metric", "confusion").stdout
    assert "confusion of knn-layer6-cls: 2 classes are too many to print, --json has it" in shown
    nothing = {"probabilities": lambda values: values * np.nan}
    change_predictions(copied / "a", **nothing)
    shown = run_cli("report", copied / "a", "--metric", "confusion").stdout
    assert "confusion of knn-layer6-cls: undefined" in shown
    result = run_cli("report", copied / "a", "--metric", "confusion", "--json")
    assert json.loads(result.stdout)["rows"][0]["confusion"] == [None, None]


def test_a_folder_of_runs_is_reported_as_one_html_file(run_cli, runs, tmp_path):
    result = run_cli("report", runs, "-o", tmp_path / "report.html", "--by", "site")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "report.html").read_text()
    assert "src='http" not in page
    assert page.count("<img") == 1 + 2 * 4 + 2 * 2  # layers; reliability and confusion a row
    for text in ("linear-layer6-cls", "site: back", "selected on test", "learning rate and epoch"):
        assert text in page
    assert "RANDOM WEIGHTS" in page
    assert MAX_PICTURED >= 4


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


def test_what_cannot_be_reported_says_why(run_cli, copied):
    a = copied / "a"
    assert_bad_input(run_cli("report", a, "--by", "sight"), "no column 'sight'", "'site'")
    assert_bad_input(run_cli("report", copied / "none"), "no run folder at")
    (copied / "empty").mkdir()
    assert_bad_input(run_cli("report", copied / "empty"), "holds no finished probe run")
    (a / "predictions/knn-layer6-cls.parquet").write_bytes(b"broken")
    assert_bad_input(run_cli("report", a), "cannot read", "knn-layer6-cls.parquet", "again")
    (copied / "b/test_rows.parquet").unlink()
    assert_bad_input(run_cli("report", copied / "b", "--by", "site"), "cannot read", "test_rows")


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("folder", "--output folder is a folder: give a file that ends in .html"),
        ("notes.md", "--output notes.md: give a file that ends in .html"),
        ("afile/report.html", "--output in afile cannot be made: "),
        ("/proc/zz/report.html", "--output in /proc/zz cannot be written "),
    ],
)
def test_a_report_that_cannot_be_written_is_refused_before_it_is_made(
    run_cli, runs, tmp_path, output, said
):
    (tmp_path / "folder").mkdir()
    (tmp_path / "afile").touch()
    result = run_cli("report", runs / "a", "-o", output)
    assert_bad_input(result, said)
    assert result.stdout == ""
