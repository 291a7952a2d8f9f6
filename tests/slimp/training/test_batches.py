"""What a step sees is a function of seed and step, whoever decodes it."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch._subclasses.fake_tensor import FakeTensorMode

from helpers.slimp_problem import build_batch
from helpers.small_data import build_data, image_bytes
from helpers.waiting import pinning
from toolkit_common.images.transforms import Preprocess
from toolkit_common.seed import seeded
from toolkit_slimp.metadata.infer import infer_schema
from toolkit_slimp.metadata.schema import Metadata
from toolkit_slimp.metadata.table import encode_table
from toolkit_slimp.settings import SlimpSettings
from toolkit_slimp.training.batches import (
    BatchStream,
    LesionImages,
    build_train_transform,
    hide_values,
)
from toolkit_slimp.training.sampling import PatientSampler

SIZES = (3, 1, 5, 2)


def stream(*, views=False, length=None, **options):
    count = sum(SIZES)
    data = build_data(
        ["a"] * count,
        groups=np.repeat(list("pqrs"), SIZES),
        images=[image_bytes(seed) for seed in range(count)],
        size=[float(row) for row in range(count)],
        age=[float(value) for value in np.repeat([30, 30, 40, 50], SIZES)],
        lesion_id=[str(row // 2) for row in range(count)],
    )
    table = encode_table(data, infer_schema(data, np.arange(count)))
    settings = SlimpSettings(
        patients_per_batch=2, lesions_per_patient=3, metadata_dropout=0.3,
        image_weight=float(views), **(length or {}),
    )  # fmt: skip
    sampler = PatientSampler(data.groups, np.arange(count), settings)
    images = LesionImages(data, build_train_transform(Preprocess((16, 16)), settings), seed=0)
    return BatchStream(sampler, images, table, settings=settings, **options)


def assert_same(first, second):
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.lesions.observed, second.lesions.observed)
    assert torch.equal(first.members.patients.observed, second.members.patients.observed)


def test_a_later_start_sees_what_the_whole_run_sees_there():
    whole = list(stream().batches(0, 6))
    for number, batch in enumerate(stream().batches(3, 6), start=3):
        assert_same(batch, whole[number])
    assert not torch.equal(whole[0].rows, whole[2].rows)


@pytest.mark.parametrize(
    ("length", "steps", "epochs"),
    [({}, 60, 30), ({"epochs": 3}, 6, 3), ({"steps": 5}, 5, 2.5), ({"steps": 1}, 1, 0.5)],
)
def test_epochs_are_steps_and_steps_are_epochs(length, steps, epochs):
    """4 patients, 2 a batch: 2 steps an epoch."""
    batches = stream(length=length)
    assert (batches.total_steps, batches.num_epochs) == (steps, epochs)


@pytest.mark.slow
def test_workers_change_nothing():
    for first, second in zip(
        stream().batches(0, 2), stream(num_workers=2).batches(0, 2), strict=True
    ):
        assert_same(first, second)


def test_crops_and_colours_are_as_strong_as_the_settings_say():
    """Of a picture half grey and half red: the share that is grey; of a grey one: how bright."""
    grey = Image.new("RGB", (64, 64), (100, 100, 100))
    halves = grey.copy()
    halves.paste((100, 0, 0), (0, 0, 32, 64))

    def look(picture, **options):
        transform = build_train_transform(Preprocess((64, 64)), SlimpSettings(**options))
        with seeded(0, "augment"):
            return torch.stack([transform(picture).float() for _ in range(100)])

    def shares(**options):
        green = look(halves, color_jitter=0.0, **options)[:, 1]
        return (green > 50).float().mean((1, 2)).tolist()

    assert set(look(grey, crop_scale=1.0, color_jitter=0.0).flatten().tolist()) == {100.0}
    assert min(shares(crop_scale=0.1)) < 0.1 < 0.9 < max(shares(crop_scale=0.1))
    assert 0.35 < min(shares(crop_scale=0.9)) < max(shares(crop_scale=0.9)) < 0.65
    assert 105 < float(look(grey).amax()) <= 110
    assert 130 < float(look(grey, color_jitter=0.4).amax()) <= 140


def test_ranks_share_the_batch_of_one_process():
    [whole] = stream().batches(1, 2)
    parts = [next(stream(rank=rank, num_ranks=2).batches(1, 2)) for rank in (0, 1)]
    count = len(whole.rows)
    for name in ("rows", "images"):
        joined = torch.cat([getattr(part, name) for part in parts])[:count]
        assert torch.equal(joined, getattr(whole, name))
    for part in parts:
        assert torch.equal(part.members.segments, whole.members.segments)
        assert torch.equal(part.members.patients.observed, whole.members.patients.observed)


def test_two_views_differ_and_the_first_is_that_of_one():
    [one], [two] = stream().batches(0, 1), stream(views=True).batches(0, 1)
    assert one.views is None
    assert torch.equal(two.images, one.images)
    assert not torch.equal(two.views, two.images)


def test_members_number_lesions_and_identical_patients():
    for batch in stream().batches(0, 2):
        same_lesion = batch.rows.unsqueeze(0) // 2 == batch.rows.unsqueeze(1) // 2
        codes = batch.members.lesion_codes
        assert torch.equal(codes.unsqueeze(0) == codes.unsqueeze(1), same_lesion)
        assert batch.take(slice(0, 1)).members is batch.members
    kinds = stream().table.patient_codes
    assert len(kinds[:4].unique()) == 1  # two patients of 30 years
    assert len(kinds.unique()) == 3


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_share_of_whole_columns_is_hidden(share):
    observed = torch.ones(2000, 3, dtype=torch.bool)
    given = Metadata(torch.zeros(2000, 4), torch.zeros(2000, 5, dtype=torch.bool), observed)
    hidden = hide_values(given, share, torch.Generator().manual_seed(0))
    assert float(hidden.observed.float().mean()) == pytest.approx(1 - share, abs=0.03)
    assert torch.equal(hidden.numeric, given.numeric)


def test_a_batch_goes_to_a_gpu_from_pinned_memory() -> None:
    """All of it: the driver may wait for the device before it copies from any other."""
    batch = build_batch(views=True)
    with pinning() as pinned, FakeTensorMode(allow_non_fake_inputs=True):
        moved = batch.to("cuda:0")
    members = moved.members
    tables = [part for table in (moved.lesions, members.patients) for part in vars(table).values()]
    codes = [item for item in vars(members).values() if isinstance(item, torch.Tensor)]
    sent = [moved.images, moved.views, *tables, *codes]
    assert {item.device.type for item in sent} == {"cuda"}
    assert len(pinned) == len(sent) == 12
