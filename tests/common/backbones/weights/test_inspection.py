"""What a weights file holds is shown, with the model that it fits."""

import re
from pathlib import Path

import pytest
import torch

from toolkit_common.backbones.from_timm import timm
from toolkit_common.backbones.weights.inspection import describe_file, likely_names


@pytest.mark.slow
def test_state_dicts_prefixes_shapes_and_the_likely_model_are_shown(tmp_path: Path) -> None:
    state = timm.create_model("test_convnext", num_classes=3).state_dict()
    wrapped = {f"module.encoder_q.{name}": value for name, value in state.items()}
    torch.save(
        {"state_dict": wrapped | {"module.queue": torch.ones(2, 5)}, "ema": {"x": torch.ones(3)}},
        tmp_path / "w.pth",
    )
    lines = describe_file(tmp_path / "w.pth")
    assert lines[0] == f"{tmp_path}/w.pth: 2 state dicts"
    assert re.fullmatch(r"&key=state_dict: \d+ tensors, [\d,]+ numbers", lines[1])
    assert "  module.encoder_q.: " in lines[2]
    assert lines[3] == "  module.queue: 1 tensor, first module.queue (2 x 5)"
    encoder = "  an encoder behind &prefix=module.encoder_q.; where MoCo v2 keeps it; likely timm:"
    assert lines[4] == f"{encoder}test_convnext"
    assert lines[5:] == ["&key=ema: 1 tensor, 3 numbers", "  x: 1 tensor, first x (3)"]


def test_what_is_of_no_known_kind_has_no_likely_name(tmp_path: Path) -> None:
    assert likely_names({"a.weight": torch.ones(2)}, "") == []
    torch.save({"a.weight": torch.ones(2, 3), "b": torch.tensor(1.0)}, tmp_path / "w.pth")
    assert describe_file(tmp_path / "w.pth") == [
        f"{tmp_path}/w.pth: 1 state dict",
        "the file itself: 2 tensors, 7 numbers",
        "  a.: 1 tensor, first a.weight (2 x 3)",
        "  b: 1 tensor, first b (one number)",
    ]
