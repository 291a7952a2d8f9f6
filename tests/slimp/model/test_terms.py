"""What the losses read: parts that are there, moved as a whole."""

import torch

from helpers.slimp_problem import build_batch
from toolkit_slimp.model.terms import LesionFeatures


def test_parts_are_what_is_there_in_one_order():
    images, lesions, views = torch.zeros(3, 4), torch.ones(3, 2), torch.full((3, 4), 2.0)
    for features, expected in (
        (LesionFeatures(images, lesions), [images, lesions]),
        (LesionFeatures(images, lesions, views), [images, lesions, views]),
    ):
        parts = features.parts()
        assert [id(part) for part in parts] == [id(part) for part in expected]
        again = LesionFeatures(*parts)
        assert (again.views is None) == (features.views is None)


def test_members_move_with_all_that_they_hold():
    moved = build_batch().members.to("meta")
    for name, value in vars(moved).items():
        tensors = vars(value).values() if name == "patients" else [value]
        assert all(tensor.device.type == "meta" for tensor in tensors), name
