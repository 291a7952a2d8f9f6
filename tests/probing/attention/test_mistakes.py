"""The worst mistakes of a probe as pictures in its page."""

import base64
import io
import re
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.saved_runs import change_predictions
from toolkit_common.runs.files import read_json
from toolkit_probing.attention.judged import open_judged
from toolkit_probing.attention.mistakes import MOST, show_mistakes
from toolkit_probing.attention.pictures import see, to_photos
from toolkit_probing.results.folds import join_runs
from toolkit_probing.results.saved import choose_row, read_run

NONE = "None: all 12 test images are right."


def decoded(uri: str) -> Image.Image:
    head, _, text = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(text)))


def by_hand(run) -> list[int]:
    """Return the rows that are wrong, the surest first."""
    saved = choose_row(run, "ep").predictions[0]
    wrong = [at for at, row in enumerate(saved.probabilities) if row.argmax() != saved.targets[at]]
    return sorted(wrong, key=lambda at: -saved.probabilities[at].max())


@pytest.mark.slow
def test_the_surest_wrong_images_are_shown_as_the_run_judged_them(mapped, monkeypatch):
    monkeypatch.chdir(mapped / "heads")  # not the folder that it began in
    run = read_run(Path(".."))
    saved = choose_row(run, "ep")
    shown = show_mistakes(run, saved, name="ep", open_images=open_judged)
    expected = by_hand(run)
    assert [item.number - 1 for item in shown.items] == expected[:MOST]
    assert f"{len(expected)} wrong ones, of 12 test images." in shown.lines[0]
    assert "where ep looks, a colour a query (16 queries" in shown.lines[1]
    assert "almost even" in shown.lines[2]
    first, part = shown.items[0], saved.predictions[0]
    assert first.truth == run.results.data.classes[part.targets[expected[0]]]
    assert first.probability == pytest.approx(part.probabilities[expected[0]].max())
    assert first.of_truth == pytest.approx(1 - first.probability)
    # What the encoder saw of that image, not of another.
    with open_judged(mapped) as judged:
        at = judged.ids.index(saved.image_ids[expected[0]])
        (file,) = (mapped / "heads").glob("ep-*")
        backbone, _ = judged.encoded(file)
        grey = [photo.convert("L") for photo in to_photos(see(backbone, [judged.place(at)]))]
    drawn = decoded(first.photo).convert("L")
    alike = np.corrcoef(np.asarray(grey[0], float).ravel(), np.asarray(drawn, float).ravel())
    assert alike[0, 1] > 0.95
    assert decoded(first.looked).size == decoded(first.photo).size == first.size


@pytest.mark.slow
def test_without_images_a_line_says_why_and_without_ep_there_are_photos_alone(mapped, probe_run):
    run = read_run(mapped)

    def gone(_):
        raise ValueError  # not reached: nothing is wrong

    with open_judged(mapped) as judged:
        linear = choose_row(run, "linear")
        shown = show_mistakes(run, linear, name="linear", open_images=lambda _: nullcontext(judged))
        assert all(item.looked for item in shown.items)  # EP's, of another method's mistakes
        for head in (probe_run / "heads").glob("ep-*"):
            head.unlink()
        for head in (probe_run / "heads").glob("esimpool-*"):
            head.unlink()
        bare = show_mistakes(
            read_run(probe_run), linear, name="linear", open_images=lambda _: nullcontext(judged)
        )
    assert "The run has no EP head" in bare.lines[1]
    assert bare.items
    assert not any(item.looked for item in bare.items)
    change_predictions(probe_run, probabilities=lambda values: values * np.nan)
    spoiled = read_run(probe_run)
    assert (
        show_mistakes(spoiled, choose_row(spoiled, "ep"), name="ep", open_images=gone).items == ()
    )


@pytest.mark.slow
def test_a_page_shows_mistakes_and_no_ids_and_needs_no_images(run_cli, mapped, tmp_path):
    assert run_cli("report", mapped, "-o", tmp_path / "a.html").exit_code == 0
    page = (tmp_path / "a.html").read_text()
    assert "<h2>Worst mistakes of" in page
    assert page.count("data:image/jpeg") >= 4
    assert len(re.findall(r'<img [^>]*alt="[^"]+"', page)) == page.count("<img ")
    assert "pictures/" not in page
    without = run_cli("report", mapped, "-o", tmp_path / "b.html", "--no-pictures")
    assert without.exit_code == 0
    assert "Worst mistakes" not in (tmp_path / "b.html").read_text()
    (mapped.parent / "pictures").rename(mapped.parent.parent / "away")
    try:
        done = run_cli("report", mapped, "-o", tmp_path / "c.html")
    finally:
        (mapped.parent.parent / "away").rename(mapped.parent / "pictures")
    assert done.exit_code == 0, done.output
    page = (tmp_path / "c.html").read_text()
    assert "No pictures: " in page
    assert "data:image" not in page


@pytest.mark.slow
def test_a_run_draws_what_it_has_at_hand_and_its_figures_stay(
    run_cli, mapped, noise_probe, tmp_path, monkeypatch
):
    monkeypatch.chdir(mapped.parent)
    done = run_cli(*noise_probe, "--report", "-o", tmp_path / "with")
    assert done.exit_code == 0, done.output
    page = (tmp_path / "with/report.html").read_text()
    assert "<h2>Worst mistakes of" in page
    assert page.count("data:image/jpeg") >= 4
    rows, without = (read_json(run / "results.json")["rows"] for run in (tmp_path / "with", mapped))
    assert rows == without


@pytest.mark.slow
def test_mistakes_of_all_folds_are_pictured_each_by_its_fold(
    run_cli, mapped, noise_probe, tmp_path, monkeypatch
):
    monkeypatch.chdir(mapped.parent)
    done = run_cli(*noise_probe, "--folds", "3", "--no-report", "-o", tmp_path / "folds")
    assert done.exit_code == 0, done.output
    run = read_run(tmp_path / "folds")
    shown = show_mistakes(run, choose_row(run, "ep"), name="ep", open_images=open_judged)
    assert [item.number - 1 for item in shown.items] == by_hand(run)[:MOST]
    assert all(item.photo and item.looked for item in shown.items)
    assert shown.lines[1] == "Each as the probe of its fold saw it."
    assert sum("times an even share" in line for line in shown.lines) == 1
    of_folds = {int(choose_row(run, "ep").folds[item.number - 1]) for item in shown.items}
    assert len(of_folds) > 1
    # Folds of a study lie in runs of their own, and no file has the predictions of all.
    parts = [read_run(path) for path in run.folds]
    arm = join_runs(parts[0].path, parts, folds=["fold 0", "fold 1", "fold 2"], metrics=())
    joined = show_mistakes(arm, choose_row(arm, "ep"), name="ep", open_images=open_judged)
    rows = [choose_row(part, "ep") for part in parts]
    ids = [rows[int(item.fold[-1])].image_ids[item.number - 1] for item in joined.items]
    assert ids == [choose_row(run, "ep").image_ids[item.number - 1] for item in shown.items]
    assert {item.fold for item in shown.items} == {""}
