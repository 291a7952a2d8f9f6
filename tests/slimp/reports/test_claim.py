"""The sentence of a page says what was learned, or that it does not show; warnings stand by it."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from helpers.watched_rows import build_watched
from toolkit_slimp.reports.claim import claim, warnings
from toolkit_slimp.reports.contents import Continued, LearnedData, Results, Size
from toolkit_slimp.reports.recalls import recalls
from toolkit_slimp.settings import SlimpSettings

RESULTS = Results(
    data=LearnedData(id="csv:table.csv", splits="given"),
    architecture="timm:test_vit",
    start="the file",
    start_is_random=False,
    sizes={"train": Size(images=900, groups=400)},
    steps=2,
    epochs=1.0,
    held_out={},
)


def said(watched):
    return claim(recalls(watched), people="patients", watched=watched)


def warned(watched=None, results=RESULTS, **settings):
    watched = build_watched() if watched is None else watched
    resolved = SlimpSettings(backbone="timm:test_vit", **settings)
    return list(warnings(results, resolved, watched=watched, values=recalls(watched)))


@pytest.mark.parametrize(
    ("lesion", "patient", "beginning"),
    [
        (0.1, 0.1, "Pre-training learned something that holds for held-out patients: images"),
        (0.1, 50.0, "Pre-training learned something that holds for held-out patients, in part: "),
        (50.0, 50.0, "That pre-training learned anything for held-out patients does not show: "),
        (None, None, "No metadata were trained on (SimCLR alone), so that no recall says "),
    ],
)
def test_the_sentence_says_yes_only_beyond_chance(lesion, patient, beginning):
    text = said(build_watched(lesion=lesion, patient=patient))
    assert text.startswith(beginning)
    doubted = [noise for noise in (lesion, patient) if noise == 50.0]
    assert text.count("which cannot be told from chance") == len(doubted)


def test_the_sentence_has_the_figure_its_interval_and_chance():
    text = said(build_watched(patient=None))
    assert text.endswith(
        "images find their own metadata among the first 5 in 1.00 [1.00, 1.00] of cases (chance "
        "0.02)."
    )


def test_below_chance_and_without_an_interval_nothing_was_learned():
    watched = build_watched(patient=None)
    turned = replace(watched, tensors={**watched.tensors, "lesions": -watched.tensors["images"]})
    assert said(turned).startswith("That pre-training learned anything")
    assert said(turned).endswith(
        "in 0.00 [0.00, 0.00] of cases (chance 0.02), which is below chance."
    )
    alone = said(build_watched(patients=1, patient=None))
    assert "without an interval, as all are of one patient: nothing follows" in alone
    assert alone.startswith("That pre-training learned anything")


def test_what_was_learned_by_collapsed_embeddings_says_so_in_the_sentence():
    watched = build_watched(patient=None)
    images, lesions = watched.tensors["images"], watched.tensors["lesions"]
    flat = F.normalize(F.pad(images, (0, 1), value=30), dim=1)  # finds the same, in one direction
    tensors = {**watched.tensors, "images": flat, "lesions": F.pad(lesions, (0, 1))}
    text = said(replace(watched, tensors=tensors))
    assert "for held-out patients, though its embeddings have collapsed: images find" in text
    assert "collapsed" not in said(watched)


def test_a_healthy_run_has_no_warning():
    assert warned() == []


@pytest.mark.parametrize(
    ("results", "settings", "message"),
    [
        ({"seen": "seen"}, {}, "SEEN: the encoder was pre-trained on patients or images"),
        (
            {"parent": Continued(run="run", train="all", seen="unknown")},
            {},
            "SEEN?: whether the encoder was pre-trained",
        ),
        ({"start_is_random": True}, {}, "Random start: the image encoder knows nothing but"),
        ({}, {"keep": "val_lesion_recall_at_5"}, "which this sentence is about; it is too high"),
        (
            {},
            {"keep": "val_knn_auroc", "watch_every": 1},
            "Selected on held-out patients: the best state by val_knn_auroc was kept.",
        ),
        ({}, {"allow_leaks": ("size",)}, "Leaks were read: size tell the label."),
        (
            {},
            {"ablation": "same-patient"},
            "Ablation same-patient: this is not SLIMP as it is meant",
        ),
        ({"sizes": {"train": Size(images=60, groups=30)}}, {}, "Few: 30 patients to learn from."),
    ],
)
def test_what_forbids_to_believe_it_is_said(results, settings, message):
    (text,) = warned(results=replace(RESULTS, **results), **settings)
    assert message in text


def test_few_patients_a_level_that_is_off_and_a_collapse_are_said():
    few = warned(build_watched(patients=12, each=2))
    assert few == [
        "Few: 24 held-out images, 12 held-out patients. Another draw of patients may turn it round."
    ]
    (text,) = warned(build_watched(lesion=None))
    assert text == "The lesion loss is off: the patient level alone was trained and is judged."
    watched = build_watched()
    alike = torch.ones_like(watched.tensors["images"]) / 4
    (text,) = warned(replace(watched, tensors={**watched.tensors, "images": alike}))
    assert text.startswith("This run has collapsed: embeddings have effective rank 1.00")
