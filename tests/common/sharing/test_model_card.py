"""The model card: what comes from elsewhere is text, and a figure stands with its mark."""

from helpers.tiny_encoders import export
from toolkit_common.backbones.exported import read_description
from toolkit_common.backbones.ids import parse_backbone_id
from toolkit_common.backbones.load import build_encoder
from toolkit_common.sharing.figures import Figures
from toolkit_common.sharing.model_card import Subject, model_card


def test_foreign_text_is_no_markup_and_seen_figures_say_so(tmp_path) -> None:
    folder = export(tmp_path)
    description = read_description(folder)
    encoder, _ = build_encoder(parse_backbone_id(description.architecture), random_init=True)
    description.provenance.update(method="<script>|x\x1b[31m", data_licence="[a](b)")
    figures = Figures("csv", (6, 3), "honest (version 2)", {"knn": {"auroc": "0.5"}},
                      {"knn": "seen"})  # fmt: skip
    card = model_card(Subject(description, encoder, [figures], True, True))
    assert "\\<script\\>\\|x\\\\x1b\\[31m" in card
    assert "| \\[a\\](b) |" in card
    assert "| knn **SEEN** | 0.5 |" in card
    assert "**SEEN**: the encoder was pre-trained on patients or images that it is judged" in card
    assert "`seen.safetensors` holds whom it has seen" in card
    for heading in ("Use", "Training data and licences", "Protocol", "Figures", "Limits"):
        assert f"## {heading}\n" in card
