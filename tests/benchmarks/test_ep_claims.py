"""The report of EP's claims: a row a claim, its verdict from its interval, and what was not run."""

import re
from pathlib import Path

import pytest

import ep_claims
from helpers.claims import cell, saved
from helpers.repository import ROOT
from helpers.tiny_study import InProcess
from lib.claims import evidence
from lib.claims.evidence import ABSENT, Finding, Studies
from toolkit_common.runs.files import read_json
from toolkit_common.scores import statistics
from toolkit_common.study.commands import find_command
from toolkit_common.study.file import read_study
from toolkit_common.study.grid import expand
from toolkit_common.study.run import run_cells
from toolkit_common.study.state import look_at

TINY, TWIN = (
    f"{{backbone: 'timm:test_vit?image_size={size}', random_init: true}}" for size in (32, 48)
)
FIGURE = re.compile(r"([+-][\d.]+) \[([+-][\d.]+), ([+-][\d.]+)\]")

CITED = re.compile(r"([+-]?\d+\.\d+)(?: points)? (\[[+-]?\d+\.\d+, [+-]?\d+\.\d+\])")


@pytest.fixture
def studied(image_folder, tmp_path, monkeypatch) -> Path:
    """Run the study of pre-trainings on a tiny encoder, which stands for two."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(statistics, "NUM_RESAMPLES", 20)
    given = (f"data=imagefolder:{image_folder}", f"encoders={{MAE: {TINY}, twin: {TWIN}}}",
             "methods=[ep, linear, mean, logreg, knn]", "epochs=1", "seeds=1")  # fmt: skip
    study = read_study(ROOT / "studies/ep-pretraining.yaml", given)
    folder = Path("runs/ep-pretraining")
    cells = expand(study, folder, find_command)
    outcome = run_cells(cells, look_at(cells), folder, executor=InProcess(), jobs=1)
    assert outcome.failed == {}
    study.keep(folder)
    return folder.parent


def test_without_a_study_there_is_a_line_and_no_report(monkeypatch, tmp_path, capsys):
    words = ["ep_claims", "--runs", str(tmp_path), "--output", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit, match="2"):
        ep_claims.main()
    assert "holds no finished probe run: carry out" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["--pretraind", "runs/mae"], ["--mask", "MAE", "more"]])
def test_a_misspelt_option_is_refused(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        ep_claims.read_arguments(words)
    assert f"unrecognized arguments: {words[0] if 'more' not in words else 'more'}" in (
        capsys.readouterr().err
    )


def test_a_clone_without_runs_is_not_asked():
    made = (ROOT / "Makefile").read_text().partition("NO_QUESTION := ")[2].partition("SCRIPTS")[0]
    assert "benchmarks/ep_claims.py" in made.split()  # else `make bench-full` ends there


def test_seeds_are_told_of_each_study_and_of_encoders_where_they_differ(monkeypatch):
    def trained(count, encoder="MAE"):
        return cell(saved("ep", 50, seeds=[*range(count)]), saved("knn", 20), encoder=encoder)

    named = {"ep-pretraining": [trained(3), trained(1, "twin")], "ep-rivals": [trained(2)]}
    monkeypatch.setattr(evidence, "read_cells", lambda folder: named.get(folder.name, []))
    told = ep_claims.seeds_of(Studies(Path(), "MAE"))
    assert told == "ep-pretraining MAE 3, twin 1; ep-rivals 2"


@pytest.mark.parametrize("page", ["README.md", "docs/claims.md"])
def test_pages_cite_the_table_as_it_is(page):
    table = (ROOT / "benchmarks/results/ep-claims.md").read_text().replace("+", "")
    found = [(each[0], " ".join(each.groups())) for each in
             CITED.finditer(" ".join((ROOT / page).read_text().split()))]  # fmt: skip
    cited = [text.replace("+", "") for whole, text in found if is_of_points(whole)]
    assert len(cited) >= 4
    assert [text for text in cited if text not in table] == []


def is_of_points(text: str) -> bool:
    """Whether a figure is of percentage points: those of shares have three digits."""
    digits = len(text.split()[0].partition(".")[2])
    return digits == 1 or (digits == 2 and text[0] in "+-")


def test_where_linear_probing_is_enough_is_as_the_table_has_it():
    table = (ROOT / "benchmarks/results/ep-claims.md").read_text()
    rows = [line.split(" | ") for line in (ROOT / "docs/claims.md").read_text().splitlines()
            if line.endswith("`benchmarks/results/ep-claims.md` |")]  # fmt: skip
    names = {"| small MAE": "MAE", "| small SimCLR": "SimCLR", "| small supervised": "supervised",
             "| the same ViT, random": "random"}  # fmt: skip
    assert len(rows) == len(names)
    for what, linear, ep, _ in rows:
        (name,) = (name for begin, name in names.items() if what.startswith(begin))
        for probe, value in (("linear", linear), ("ep", ep)):
            assert re.search(rf"^\| {name} \| {probe} \| [\d,]+ \| {value} \[", table, re.MULTILINE)


def test_epochs_are_told_where_they_are_not_the_protocols(monkeypatch):
    named = {"ep-rivals": [cell(saved("ep", 50))], "ep-tuning": []}
    monkeypatch.setattr(evidence, "read_cells", lambda folder: named.get(folder.name, []))
    assert ep_claims.epochs_of(Studies(Path(), "MAE")) == "ep-rivals 10"
    named.clear()
    assert ep_claims.epochs_of(Studies(Path(), "MAE")) == "none"


def test_what_runs_have_said_of_rows_is_told_once(monkeypatch):
    edge = {"remarks": ["C 100 is the highest"]}
    named = {
        "ep-pretraining": [cell(saved("linear", 20, **edge), saved("mean", 20), encoder=name)
                           for name in ("MAE", "twin")],
        "ep-low-shot": [cell(saved("ep", 20, labels="5 shots", **edge), saved("ep", 20, **edge))],
    }  # fmt: skip
    monkeypatch.setattr(evidence, "read_cells", lambda folder: named.get(folder.name, []))
    assert ep_claims.remarks_of(Studies(Path(), "MAE")) == [
        "Said of rows: C 100 is the highest (ep-pretraining: MAE linear, twin linear; "
        "ep-low-shot: MAE ep at 5 shots, MAE ep)."
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--masked", "Foo"], "--masked Foo: the study has MAE, "),
        (["--pretrained", "nowhere"], "--pretrained nowhere is no folder that benchmarks/mim.py"),
    ],
)
def test_what_is_not_there_is_a_line_and_no_report(
    words, message, studied, monkeypatch, tmp_path, capsys
):
    place = ["--runs", str(studied), "--output", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["ep_claims", *place, *words])
    with pytest.raises(SystemExit, match="2"):
        ep_claims.main()
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_every_claim_has_a_row_and_what_was_not_run_says_so(studied, monkeypatch, tmp_path):
    words = ["ep_claims", "--runs", str(studied), "--output", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", words)
    ep_claims.main()
    rows = read_json(tmp_path / "out/ep-claims.json")["rows"]
    judged = [row for row in rows if row["verdict"] != ABSENT]
    assert len(judged) == 5  # three on the masked encoder, two on the other
    for row in judged:
        value, low, high = map(float, FIGURE.fullmatch(row["points [95 %]"]).groups())
        assert low <= value <= high
        assert row["verdict"] == Finding(value, low, high).verdict
    absent = [row["claim"] for row in rows if row["verdict"] == ABSENT]
    assert "EP beats every earlier attentive probe" in absent
    assert "EP helps beside light tuning" in absent
    text = (tmp_path / "out/ep-claims.md").read_text()
    assert "Seeds of trained heads: ep-pretraining 1." in text
    assert "Figures are ours and small" in text
    assert (tmp_path / "out/ep-claims.png").stat().st_size > 10_000
