"""The two tables of a continued run, as they are printed and as they are kept."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from rich.console import Console

from helpers.slimp_problem import SCHEMA, build_model
from toolkit_common.backbones.cards import choose_card
from toolkit_slimp.metadata.schema import ColumnSchema, Schema
from toolkit_slimp.model.slimp import SlimpModel
from toolkit_slimp.model.warm_start import Parent
from toolkit_slimp.training.adapt import Adaptation, adapt_

VIT, CNN = "timm:test_vit?image_size=32", "timm:test_resnet?image_size=32"
OLD = Schema((*SCHEMA.columns, ColumnSchema("[red]skin", "patient", "boolean")))


def adapted(text: str, *, train: str = "embeddings", trained=("lesion", "patient")) -> Adaptation:
    old = build_model(text, seed=1)
    model = build_model(text, seed=2, train=train, from_run="run", random_init=False)
    full = SlimpModel(old.image_encoder, card=choose_card(text, old.image_encoder.facts),
                      schema=OLD, settings=old.settings)  # fmt: skip
    card = choose_card(text, old.image_encoder.facts)
    return adapt_(model, SCHEMA, Parent(Path("run"), full.double(), OLD, card, trained, "digest"))


def test_tables_hold_every_column_and_every_tensor(tmp_path):
    adaptation = adapted(VIT)
    adaptation.write(tmp_path)
    columns = pd.read_csv(tmp_path / "columns.csv", keep_default_na=False)
    assert columns["column"].tolist() == ["size", "site", "age", "sex", "[red]skin"]
    assert columns["start"].tolist() == [*["copied"] * 4, "dropped"]
    assert columns["copied_words"].tolist() == ["", "arm; leg", "", "female; male", ""]
    learning = pd.read_csv(tmp_path / "trainable.csv")
    assert len(learning) == len(adaptation.learning)
    assert learning.groupby("group")["learns"].nunique().max() == 1
    assert {"image: patches, positions, tokens", "projection heads"} <= set(
        learning.loc[learning["learns"], "group"]
    )
    assert adaptation.notes == ()


def test_what_is_printed_counts_what_is_listed():
    console = Console(width=200, record=True, quiet=False)
    for table in adapted(VIT).tables():
        console.print(table)
    text = console.export_text()
    listed = [item for item in adapted(VIT).learning if item.group == "projection heads"]
    size = sum(item.size for item in listed)
    (row,) = (line for line in text.splitlines() if "projection heads" in line)
    assert [cell.strip() for cell in row.strip("│ ").split("│")] == [
        "projection heads", "yes", str(len(listed)), f"{size:,}",
    ]  # fmt: skip
    assert "[red]skin" in text  # a name is no markup


@pytest.mark.parametrize("train", ["embeddings", "norms"])
def test_stem_and_norms_are_said_to_stand_for_embeddings(train):
    notes = adapted(CNN, train=train).notes
    assert len(notes) == (train == "embeddings")
    if notes:
        assert "has no attention blocks: --train embeddings is its stem and its norms" in notes[0]


def test_without_a_run_metadata_encoders_learn_whole_and_no_column_was_copied(tmp_path):
    model = build_model(VIT, train="norms", backbone="timm:test_vit", random_init=False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    adaptation = adapt_(model, SCHEMA, None)
    adaptation.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["trainable.csv"]
    assert [table.title for table in adaptation.tables()] == ["what learns"]
    assert (adaptation.parent, adaptation.columns, adaptation.notes) == (None, (), ())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    for name, parameter in model.named_parameters():
        if "metadata" in (group := {item.name: item.group for item in adaptation.learning}[name]):
            assert parameter.requires_grad
        elif group.startswith("image"):
            assert parameter.requires_grad == group.endswith("norms")


def test_a_level_without_training_is_named():
    (note,) = adapted(VIT, trained=("lesion",)).notes
    assert note.startswith("patient metadata: run has never trained their encoder: it starts fresh")
