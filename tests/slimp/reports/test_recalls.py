"""Recalls with intervals are those that a run has logged, at both levels and both ways."""

import pandas as pd
import pytest
import torch

from helpers.slimp_problem import build_batch, build_model
from helpers.watched_rows import build_watched
from toolkit_slimp.reports.recalls import headline, recalls
from toolkit_slimp.reports.watched import Watched
from toolkit_slimp.watching.retrieval import describe_retrieval


def test_values_and_chance_levels_are_those_that_are_logged():
    model, batch = build_model(seed=0), build_batch(sizes=(3, 1, 4, 2, 2, 5), seed=0)
    images = batch.images.double() / 255.0 - 0.5
    with torch.no_grad():
        loss = model.nested_loss(model.encode(images, batch.lesions), batch.members)
    members = batch.members
    rows = pd.DataFrame(
        {
            "patient": members.segments.numpy(),
            "metadata_code": members.metadata_codes.numpy(),
            "patient_code": members.patient_codes.numpy()[members.segments.numpy()],
        }
    )
    names = ("images", "lesions", "phenotypes", "patients")
    tensors = dict(zip(names, (*loss.lesion_pairs, *loss.patient_pairs), strict=True))
    actual = {}
    for item in recalls(Watched(tensors, rows, None)):
        actual[item.key] = pytest.approx(item.value)
        actual[item.key.replace("reverse_", "") + "_chance"] = pytest.approx(item.chance)
    assert describe_retrieval(loss, members, ks=(1, 5), prefix="val_") == actual


def test_an_interval_is_over_patients_and_what_is_aligned_is_beyond_chance():
    values = recalls(build_watched(lesion=1.0, patient=50.0))
    lesion, patient = headline(values, "lesion"), headline(values, "patient")
    assert lesion.ci[0] < lesion.value < lesion.ci[1]
    assert lesion.above == pytest.approx(lesion.value - lesion.chance)
    assert lesion.is_beyond
    assert not patient.is_beyond
    assert patient.above_ci[0] <= 0.0 <= patient.above_ci[1]
    of_images = recalls(build_watched(patients=240, each=1, lesion=1.0, patient=50.0))
    assert headline(of_images, "lesion").num_rows == lesion.num_rows
    # Whole patients are drawn: of fewer of them the interval is another.
    assert headline(of_images, "lesion").ci != lesion.ci


def test_one_patient_has_no_interval_and_few_rows_are_judged_at_1():
    values = recalls(build_watched(patients=1, each=8))
    assert {item.ci for item in values} == {item.p for item in values} == {None}
    assert not any(item.is_beyond for item in values)
    assert headline(values, "lesion").k == headline(values, "patient").k == 1
    assert headline(recalls(build_watched(patients=11, each=1)), "patient").k == 5


def test_a_level_that_is_off_has_no_recall():
    values = recalls(build_watched(patient=None))
    assert {item.level for item in values} == {"lesion"}
    assert headline(values, "patient") is None
