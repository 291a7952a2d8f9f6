"""A table in 80 columns, Markdown, CSV and JSON, each with what must be known to read it."""

import csv
import io
import shutil
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from helpers.snapshots import assert_snapshot
from helpers.tiny_study import STUDY, study_of
from toolkit_common.runs.files import read_json, write_json
from toolkit_common.study.commands import find_command
from toolkit_common.study.file import Study
from toolkit_common.study.grid import expand
from toolkit_common.study.show import notes, show_table, to_csv, to_json, to_markdown
from toolkit_common.study.state import look_at
from toolkit_common.study.table import Table, build_table

pytestmark = pytest.mark.slow

BROAD = "rows: encoder\n  columns: method"  # a figure and a difference of each method


@pytest.fixture(autouse=True)
def done(runs) -> None:
    runs()


def made(text: str = STUDY) -> tuple[Study, Table]:
    study = study_of(text)
    cells = expand(study, Path("runs"), find_command)
    return study, build_table(study, "", cells, statuses=look_at(cells))


def shown(study: Study, table: Table, width: int = 80) -> str:
    out = Console(file=io.StringIO(), width=width)
    show_table(study, table, out)
    return out.file.getvalue()  # type: ignore[attr-defined]


def test_figures_intervals_and_differences_stand_in_80_columns():
    text = shown(*made())
    drawn = [line for line in text.splitlines() if line.startswith(("┏", "│", "┃"))]
    assert drawn
    assert max(map(len, drawn)) <= 80
    for part in ("[0.67, 1.03]", "[+0.150, +0.150]", "reference", "auroc minus poor's"):
        assert part in text
    assert "all figures: selected on val" in text
    assert "mean over fold; differences are taken cell by cell" in text


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_a_table_is_readable_at_every_width(width):
    text = shown(*made(STUDY.replace("rows: [encoder, method]", BROAD)), width=width)
    drawn = [line for line in text.splitlines() if line.startswith(("┏", "│", "┃"))]
    assert max(map(len, drawn)) <= width
    assert_snapshot(text, Path(__file__).parent / f"shown/table-{width}.txt")


def test_columns_that_do_not_fit_stand_below():
    text = STUDY.replace("rows: [encoder, method]", "rows: encoder\n  columns: method")
    narrow, wide = shown(*made(text), width=64), shown(*made(text), width=160)
    assert (narrow.count("┏"), wide.count("┏")) == (2, 1)
    for heading in ("ep auroc", "linear auroc"):
        assert heading in " ".join(narrow.split())


def test_what_is_missing_is_shown(runs):
    shutil.rmtree("runs")
    study, table = made()
    text = shown(study, table)
    assert text.count("missing") >= 2
    assert "MISSING: 6 cells: judge/encoder=good,fold=0 (to do)," in text
    assert "and 1 more" in text
    runs()
    Path("runs/judge/encoder=poor,fold=1/DONE").unlink()
    text = shown(*made())
    assert "1 of 3 cells" in text
    assert "of 2 cells" in text


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"seen": "seen"}, "SEEN: the encoder was pre-trained on patients or images that it is"),
        (
            {"selected": "selected on test"},
            "NOT SELECTED ALIKE: selected on test: good ep; selected on val: good ep, ",
        ),
        ({"remarks": ["k 50 is the highest"]}, "good ep: k 50 is the highest"),
    ],
)
def test_what_must_be_known_stands_below(change, part):
    path = Path("runs/judge/encoder=good,fold=0/results.json")
    results = read_json(path)
    results["rows"][0] |= change
    write_json(path, results)
    text = shown(*made())
    assert part in text
    if "seen" in change:
        assert "SEEN" in text.split("mean over")[0].split("all figures")[0]


def test_markdown_has_the_same():
    text = to_markdown(*made())
    heading = "| encoder | method | auroc | auroc minus poor's |"
    assert text.startswith(f"# Does training help?\n\n{heading}")
    figures = [r"0.850 \[0.67, 1.03\]", r"+0.150 \[+0.150, +0.150\] over folds"]
    assert f"| good | ep | {' | '.join(figures)} |" in text
    assert "- all figures: selected on val" in text


def test_nothing_of_a_study_or_its_results_is_markup_in_markdown():
    for path in Path("runs/judge").glob("*/results.json"):
        results = read_json(path)
        results["rows"][0]["method"] = "<b>|*"
        write_json(path, results)
    text = to_markdown(*made(STUDY.replace("Does training", "Does <i>training")))
    assert text.startswith("# Does \\<i\\>training help?\n")
    assert "| good | \\<b\\>\\|\\* | 0.850 " in text


def test_csv_has_a_line_for_each_figure():
    rows = list(csv.DictReader(io.StringIO(to_csv(made()[1]))))
    assert [(row["encoder"], row["method"], row["cells"]) for row in rows] == [
        ("good", "ep", "3"), ("good", "linear", "3"), ("poor", "ep", "3"), ("poor", "linear", "3"),
    ]  # fmt: skip
    assert float(rows[0]["mean"]) == pytest.approx(0.85)
    assert float(rows[0]["difference_low"]) == pytest.approx(0.15)
    assert rows[2]["difference"] == ""


def test_json_has_all_of_it():
    actual = to_json(*made())
    assert (actual["study"], actual["missing"], len(actual["rows"])) == ("toy", {}, 4)
    assert actual["rows"][0]["interval_of"] == "folds"


def test_a_reference_that_no_row_has_is_said():
    study, table = made(STUDY.replace("against: {encoder: poor}", "against: {method: knn}"))
    assert "NO DIFFERENCES: no row has method knn: there are ep, linear" in notes(study, table)


def test_no_folder_of_the_machine_stands_in_a_table():
    text = STUDY.replace("  judged:", "  data: csv:/home/me/lesions.csv?group=p\n  judged:")
    (line,) = [line for line in notes(*made(text)) if line.startswith("parameters: ")]
    assert line == "parameters: data csv:lesions.csv?group=p, judged 0,1,2"


def test_differences_stand_first_where_they_lead():
    def headings(text: str) -> str:
        return to_markdown(*made(text)).splitlines()[2]

    first = headings(STUDY + "  leads: differences\n")
    assert first == "| encoder | method | auroc minus poor's | auroc |"
    assert headings(STUDY) == "| encoder | method | auroc | auroc minus poor's |"
    without = STUDY.replace("rows: [encoder, method]", "rows: [encoder, method, ep.num_queries]")
    without = without.replace("{encoder: poor}", '{encoder: poor, ep.num_queries: "-"}')
    assert headings(without).endswith("| auroc | auroc minus poor's |")


def write_predictions(cell: Path, chances: list[float]) -> None:
    """Give a cell's rows predictions of 16 images, of 16 patients of its own fold."""
    results = read_json(cell / "results.json")
    for row in results["rows"]:
        row["predictions"] = "predictions.parquet"
    write_json(cell / "results.json", results)
    names = [f"{cell.name[-1]}-{number:02}" for number in range(16)]
    pd.DataFrame({
        "image_id": names, "group": names, "target": [0, 0, 1, 1] * 4, "seed": 0, "draw": 0,
        "probabilities": [[1 - chance, chance] for chance in chances] * 4,
    }).to_parquet(cell / "predictions.parquet")  # fmt: skip


def test_intervals_over_patients_say_so():
    for cell in Path("runs/judge").iterdir():
        is_good = "good" in cell.name
        write_predictions(cell, [0.1, 0.2, 0.7, 0.9] if is_good else [0.1, 0.8, 0.4, 0.9])
    study, table = made(STUDY + "  intervals: patients\n")
    figure = table.figures[("good", "ep"), "auroc"]
    assert (figure.mean, figure.interval) == (1.0, pytest.approx((1.0, 1.0)))
    # Of the two benign and two malignant chances one pair of four is in the wrong order.
    assert figure.gap.mean == pytest.approx(0.25)
    assert 0.05 < figure.gap.interval[0] < 0.25 < figure.gap.interval[1] < 0.5
    assert "bootstrap over the test patients of all folds" in " ".join(notes(study, table))


def test_differences_are_over_patients_where_there_are_predictions():
    for cell in Path("runs/judge").iterdir():
        is_good = "good" in cell.name
        write_predictions(cell, [0.1, 0.2, 0.7, 0.9] if is_good else [0.1, 0.8, 0.4, 0.9])
    study, table = made(STUDY)
    wanted = made(STUDY + "  intervals: patients\n")[1].figures[("good", "ep"), "auroc"].gap
    figure = table.figures[("good", "ep"), "auroc"]
    assert (figure.mean, figure.interval_of) == (pytest.approx(0.85), "folds")
    assert (figure.gap, figure.gap.interval_of) == (wanted, "patients")
    assert figure.gap.over_folds == pytest.approx((0.15, 0.15))
    assert "over patients" in shown(study, table, width=120)
    row = next(csv.DictReader(io.StringIO(to_csv(table))))
    assert row["difference_interval_of"] == "patients"
    assert float(row["difference_over_folds_low"]) == pytest.approx(0.15)
    assert float(row["difference_low"]) == pytest.approx(wanted.interval[0])
    folds = made(STUDY + "  intervals: folds\n")[1].figures[("good", "ep"), "auroc"].gap
    assert (folds.mean, folds.interval_of) == (pytest.approx(0.15), "folds")


@pytest.mark.parametrize("damage", ["absent", "other patients", "one more"])
def test_what_cannot_be_paired_is_over_folds_and_says_why(damage):
    for cell in Path("runs/judge").iterdir():
        write_predictions(cell, [0.1, 0.2, 0.7, 0.9])
    cell = Path("runs/judge/encoder=poor,fold=1")
    frame = pd.read_parquet(cell / "predictions.parquet")
    if damage == "absent":
        results = read_json(cell / "results.json")
        results["rows"][0].pop("predictions")
        write_json(cell / "results.json", results)
    elif damage == "other patients":
        frame.assign(group="p").to_parquet(cell / "predictions.parquet")
    else:
        pd.concat([frame, frame.assign(seed=1)]).to_parquet(cell / "predictions.parquet")
    study, table = made()
    assert table.figures[("good", "ep"), "auroc"].gap.interval_of == "folds"
    why = {
        "absent": "some of its cells have no predictions",
        "other patients": "judge/encoder=good,fold=1 and judge/encoder=poor,fold=1 were not judged",
        "one more": "its folds have different numbers of repeats",
    }
    rows = "good ep" if damage == "absent" else "good ep, good linear"
    assert f"NOT OVER PATIENTS: {rows}: {why[damage]}" in " ".join(notes(study, table))


def test_without_predictions_there_is_no_interval_over_patients():
    study, table = made(STUDY + "  intervals: patients\n")
    figure = table.figures[("good", "ep"), "auroc"]
    assert (figure.mean, figure.interval) == (pytest.approx(0.85), None)
    assert (figure.gap.mean, figure.gap.interval) == (pytest.approx(0.15), None)
    assert "intervals:" not in " ".join(notes(study, table))


COUNTED = STUDY.replace("  against:", "  counts: {num_parameters: parameters, flops: flops}\n"
                        "  front: encoder\n  against:")  # fmt: skip


def count(fold: int, **sizes: int) -> None:
    """Write trained parameters into the rows of each encoder's judge."""
    for encoder in ("good", "poor"):
        path = Path(f"runs/judge/encoder={encoder},fold={fold}/results.json")
        results = read_json(path)
        for row in results["rows"]:
            row["num_parameters"] = sizes[row["method"]]
        write_json(path, results)


@pytest.mark.parametrize(
    ("sizes", "front"),
    [
        ({"ep": 5000, "linear": 10}, {"linear"}),  # linear is better by 0.01, and smaller
        ({"ep": 10, "linear": 5000}, {"ep", "linear"}),
        ({"ep": 10, "linear": 10}, {"linear"}),
        ({"ep": 0, "linear": 10}, {"linear"}),  # what has no parameters is beside the question
    ],
)
def test_counts_stand_behind_and_the_front_is_marked(sizes, front):
    for fold in range(3):
        count(fold, **sizes)
    study, table = made(COUNTED)
    assert table.front == {(encoder, name) for encoder in ("good", "poor") for name in front}
    text = shown(study, table)
    assert text.count("Pareto front\n") + text.count("Pareto front ") == 2 * len(front)
    assert "Pareto front: no row with as few parameters has a better auroc" in text
    assert "parameters minus" not in text
    assert "flops" not in text  # no row has them
    for entry in to_json(study, table)["rows"]:
        assert entry["num_parameters"] == sizes[entry["method"]]
        assert entry["is_on_front"] is (entry["method"] in front)
    assert f"{sizes['ep']:,}" in to_markdown(study, table)


def test_of_equal_rows_all_lie_on_the_front():
    for fold in range(3):
        count(fold, ep=10, linear=10)
        for encoder in ("good", "poor"):
            path = Path(f"runs/judge/encoder={encoder},fold={fold}/results.json")
            results = read_json(path)
            ep, linear = results["rows"]
            linear["metrics"] = ep["metrics"]
            write_json(path, results)
    _, table = made(COUNTED)
    assert table.front == {(encoder, name) for encoder in ("good", "poor")
                           for name in ("ep", "linear")}  # fmt: skip


def test_cells_of_other_counts_have_none():
    for fold in range(3):
        count(fold, ep=10 + fold, linear=10)
    _, table = made(COUNTED)
    assert table.groups["good", "ep"].count("num_parameters") is None
    assert ("good", "ep") not in table.front


def test_intervals_over_images_are_called_so():
    for cell in Path("runs/judge").iterdir():
        write_predictions(cell, [0.1, 0.2, 0.7, 0.9])
    study, table = made()
    assert (table.units, "over patients" in shown(study, table)) == ("patients", True)
    for path in Path("runs/judge").glob("*/results.json"):
        results = read_json(path)
        results["data"]["num_test_groups"] = results["data"]["sizes"]["test"]
        write_json(path, results)
    text = shown(*made())
    assert "over images" in text
    assert "over patients" not in text
    assert "bootstrap over the test images of all folds" in text
