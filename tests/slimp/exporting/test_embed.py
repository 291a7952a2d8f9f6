"""A trained model from Python: images and metadata become the vectors that training compared."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from helpers.slimp_run import pretrain, table_rows, write_table
from toolkit_common.backbones.load import load_backbone
from toolkit_common.backbones.metadata import load_metadata_encoders
from toolkit_common.errors import InputError
from toolkit_common.images.open import open_image
from toolkit_common.sources.load import load_data
from toolkit_slimp import Slimp, load_slimp

pytestmark = pytest.mark.slow  # trains a model


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("slimp")
    return pretrain(write_table(root / "table.csv", table_rows()), root / "run")


@pytest.fixture(scope="module")
def slimp(run) -> Slimp:
    return load_slimp(str(run))


@pytest.fixture
def table(run) -> pd.DataFrame:
    return load_data(f"csv:{run.parent / 'table.csv'}").table


def test_features_are_those_that_probes_read(slimp, run, table) -> None:
    data = load_data(f"csv:{run.parent / 'table.csv'}")
    images = [open_image(data.images[row]["image"]) for row in range(5)]
    backbone = load_backbone(str(run))
    tokens = backbone.tokens(images)
    is_cls = backbone.info.card.linear == "cls"
    expected = tokens.prefix[:, 0] if is_cls else tokens.patches.mean(1)
    torch.testing.assert_close(slimp.embed_images(images, projected=False), expected)
    encoders = load_metadata_encoders(run)
    for level, embed in (("lesion", slimp.embed_lesions), ("patient", slimp.embed_patients)):
        actual = embed(table, projected=False)
        torch.testing.assert_close(actual, encoders.encode(table, level).vectors)


def test_embeddings_are_those_of_the_heads_and_of_length_one(slimp, table) -> None:
    model = slimp.model
    for embed, head in (
        (slimp.embed_lesions, model.project_lesion),
        (slimp.embed_patients, model.project_patient),
    ):
        embeddings = embed(table)
        torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(len(table)))
        with torch.no_grad():
            expected = torch.nn.functional.normalize(head(embed(table, projected=False)), dim=1)
        torch.testing.assert_close(embeddings, expected)
    images = torch.randn(3, 3, 32, 32)
    assert slimp.embed_images(images).shape == (3, 4)
    torch.nn.Linear(4, 2)(slimp.embed_images(images)).sum().backward()  # a head may be trained


def test_what_the_table_lacks_is_named_and_what_is_new_is_told(slimp, table) -> None:
    with pytest.raises(InputError, match="the table has no lesion column size_mm, site of the"):
        slimp.embed_lesions(table.drop(columns=["size_mm", "site"]))
    with pytest.warns(UserWarning, match="read as missing: 30 of site"):
        strange = slimp.embed_lesions(table.assign(site="moon"))
    assert torch.equal(strange, slimp.embed_lesions(table.assign(site=None)))
    with pytest.raises(InputError, match="'size_mm' is numeric in the schema: 'big' is no number"):
        slimp.embed_lesions(table.assign(size_mm="big"))


def test_an_embedding_that_no_loss_has_trained_is_refused(run, table, tmp_path) -> None:
    data = f"csv:{run.parent / 'table.csv'}"
    alone = load_slimp(pretrain(data, tmp_path / "run", "--ablation", "lesion-only"))
    assert len(alone.embed_lesions(table)) == len(table)
    with pytest.raises(InputError, match="trained no embedding of the patient: projected=False"):
        alone.embed_patients(table)


def test_model_and_schema_can_be_taken_apart(slimp) -> None:
    model, schema = slimp
    assert (model, schema) == (slimp.model, slimp.schema)
    assert not model.training
