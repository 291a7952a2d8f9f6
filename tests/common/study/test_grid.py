"""A study's cells: what fits together, under which names, with every call checked."""

import re
from pathlib import Path

import pytest

from helpers.tiny_study import STUDY, study_of
from toolkit_common.errors import InputError
from toolkit_common.study import grid
from toolkit_common.study.commands import find_command
from toolkit_common.study.grid import cell_name, expand


def cells_of(text: str = STUDY):
    return expand(study_of(text), Path("runs/toy"), find_command)


def ids(text: str) -> list[str]:
    return [cell.id for cell in cells_of(text)]


def test_a_fold_is_judged_with_its_own_pre_training():
    cells = {cell.id: cell for cell in cells_of()}
    assert len(cells) == 12
    judge = cells["judge/encoder=good,fold=2"]
    assert judge.needs == {"train": cells["train/encoder=good,fold=2"]}
    assert judge.words == [
        "toy", "judge", "--backbone", "runs/toy/train/encoder=good,fold=2", "--fold", "2",
    ]  # fmt: skip
    assert cells["train/encoder=good,fold=2"].words == [
        "toy", "train", "--quality", "0.8", "--fold", "2",
    ]  # fmt: skip


def test_needed_cells_stand_first():
    order = ids(STUDY.replace("needs: train", "needs: train\n    grid: {method: [ep, linear]}"))
    assert len(order) == 18
    assert order[:6] == [name for name in order if name.startswith("train/")]
    assert order[6] == "judge/encoder=good,fold=0,method=ep"


def test_an_axis_of_a_needed_step_may_be_narrowed():
    assert "judge/encoder=good,fold=1" not in ids(
        STUDY.replace("needs: train", "needs: train\n    grid: {fold: [0, 2]}")
    )


def test_two_needs_fit_where_their_axes_agree():
    text = STUDY.replace("table:", """\
  compare:
    command: toy judge
    needs: [train, judge]
    options: {backbone: "{train}", method: "x{fold}"}
table:""")  # fmt: skip
    for cell in cells_of(text):
        if cell.step == "compare":
            assert cell.needs["judge"].needs["train"] is cell.needs["train"]
    assert len(ids(text)) == 18


def test_what_is_excluded_takes_along_what_needs_it():
    text = f"{STUDY}exclude:\n  - {{encoder: poor, fold: [1, 2]}}\n  - {{step: judge, fold: 0}}\n"
    assert ids(text) == [
        "train/encoder=good,fold=0", "train/encoder=good,fold=1", "train/encoder=good,fold=2",
        "train/encoder=poor,fold=0",
        "judge/encoder=good,fold=1", "judge/encoder=good,fold=2",
    ]  # fmt: skip


NAMED = STUDY.replace(
    "judged: [0, 1, 2]",
    """judged: [1]
  qualities: {good: 0.8, poor: {quality: 0.2, seconds: 0}}""",
)
NAMED = NAMED.replace(
    """        good: {quality: 0.8}
        poor: {quality: 0.2}
""",
    "",
).replace("encoder:\n", 'encoder: "{qualities}"\n', 1)
NAMED = NAMED.replace("  judge:\n", '    options: {quality: "{encoder}"}\n  judge:\n')


def test_a_parameter_may_name_the_values_of_an_axis():
    cells = {cell.id: cell for cell in cells_of(NAMED)}
    good, poor = (cells[f"train/encoder={name},fold=1"] for name in ("good", "poor"))
    assert good.words == ["toy", "train", "--quality", "0.8", "--fold", "1"]
    assert poor.words == ["toy", "train", "--quality", "0.2", "--seconds", "0", "--fold", "1"]
    assert (good.values["encoder"], good.meant["encoder"]) == ("good", 0.8)
    other = expand(study_of(NAMED, "qualities={best: 1}"), Path("runs/toy"), find_command)
    assert [cell.words[3] for cell in other if cell.step == "train"] == ["1"]


def test_what_a_name_stands_for_is_known_in_the_steps_behind():
    text = NAMED.replace('fold: "{fold}"}', 'fold: "{fold}", method: "x{encoder}"}')
    judge = next(cell for cell in cells_of(text) if cell.step == "judge")
    assert judge.words[-1] == "x0.8"


def test_an_axis_of_names_is_the_option_of_its_name():
    text = NAMED.replace("encoder", "quality").replace('    options: {quality: "{quality}"}\n', "")
    text = text.replace(", poor: {quality: 0.2, seconds: 0}", "")
    cell = cells_of(text)[0]
    assert (cell.id, cell.words[2:4]) == ("train/quality=good,fold=1", ["--quality", "0.8"])


def test_names_stand_for_an_axis_alone():
    text = NAMED.replace('{quality: "{encoder}"}', '{quality: "{qualities}"}')
    with pytest.raises(InputError, match=r"quality: \{qualities\} has names: it can be an axis"):
        cells_of(text)


def test_names_are_stable_and_fit_every_file_system():
    assert cell_name({}) == "run"
    assert cell_name({"a": 1, "b": True, "c": None}) == "a=1,b=true,c=none"
    path = cell_name({"backbone": "/data/my runs/derm?x=1"})
    assert path.startswith("backbone=data-my-runs-derm-x-1-")
    assert path != cell_name({"backbone": "/data/my-runs/derm?x=1"})
    assert len(cell_name({str(n): "x" * 60 for n in range(20)})) < 200


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("needs: train", "needs: trian",
         "line 15: steps.judge.needs: there is no step 'trian'; did you mean 'train'"),
        ("command: toy train", "command: toy train\n    needs: judge",
         "steps need one another: train -> judge -> train"),
        ("needs: train", "needs: judge", "steps need one another: judge -> judge"),
        ("toy judge", "toy juge", "line 14: steps.judge.command: unknown command 'toy juge'"),
        ("fold: \"{fold}\"", "fold: \"{fald}\"",
         "steps.judge.options.fold: {fald} is nothing that is known here; did you mean 'fold'"),
        ("fold: \"{fold}\"", "fald: \"{fold}\"", "has no option 'fald'; did you mean 'fold'"),
        ("quality: 0.8", "quality: 8", "quality: input should be less than or equal to 1"),
        ("quality: 0.8", "quality: 0.2", "encoder=good,fold=0 and encoder=poor,fold=0 do the same"),
        ("      fold: \"{judged}\"", "      fald: \"{judged}\"", "'fald' is no option of"),
        ("\"{judged}\"", "\"{jugded}\"", "steps.train.grid.fold: {jugded} is nothing"),
        ("\"{judged}\"", "[0, 0]", "steps.train.grid.fold: '0' stands here twice"),
        ("\"{judged}\"", "[]", "an axis has one value or more, or is a parameter"),
        ("needs: train", "needs: train\n    output: x.parquet", "fills a run folder, not a file"),
        ("toy judge", "data audit", "fills no run folder: give output, the file"),
        ("toy judge", "data make\n    output: x", "toolkit data make has no --output"),
        ("table:", "exclude: [{fald: 1}]\ntable:", "exclude.0.fald: there is no axis 'fald'"),
        ("table:", "exclude: [{fold: 7}]\ntable:", "exclude.0.fold: fold has no value 7"),
        ("table:", "exclude: [{}]\ntable:", "exclude.0: an empty rule would exclude all"),
        ("table:", "exclude: [{step: [train]}]\ntable:", "the study has no cell"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_place(old, new, problem):
    assert old in STUDY
    with pytest.raises(InputError, match=re.escape(problem)) as caught:
        cells_of(STUDY.replace(old, new, 1))
    assert "\n" not in str(caught.value)


def test_a_parameter_without_values_leaves_out_a_step_and_what_needs_it():
    other = "  other:\n    command: toy train\n    grid: {quality: [0.1, 0.2]}\nsteps:"
    text = STUDY.replace("steps:", "steps:\n" + other.removesuffix("\nsteps:"), 1)
    steps = {cell.step for cell in cells_of(text.replace("judged: [0, 1, 2]", "judged: []"))}
    assert steps == {"other"}
    with pytest.raises(InputError, match="no cell: exclude, or a parameter without values"):
        cells_of(STUDY.replace("judged: [0, 1, 2]", "judged: []"))


def test_two_named_values_may_not_give_one_option():
    text = STUDY.replace("      fold:", "      other: {a: {quality: 0.5}}\n      fold:", 1)
    with pytest.raises(InputError, match="'quality' is given by other and by encoder"):
        cells_of(text)


def test_the_number_of_cells_is_bounded(monkeypatch):
    monkeypatch.setattr(grid, "MAX_CELLS", 5)
    with pytest.raises(InputError, match=r"steps\.train\.grid: 6 cells, more than 5"):
        cells_of()
