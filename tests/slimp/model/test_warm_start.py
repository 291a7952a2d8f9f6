"""What is copied of a run: each column's vectors by name, never by place."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from helpers.slimp_problem import build_settings
from toolkit_common.backbones.cards import choose_card
from toolkit_common.backbones.ids import parse_backbone_id
from toolkit_common.backbones.load import build_encoder
from toolkit_slimp.metadata.schema import ColumnSchema, Metadata, Schema
from toolkit_slimp.model.slimp import SlimpModel
from toolkit_slimp.model.warm_start import Parent, describe_columns, warm_start_

VIT = "timm:test_vit?image_size=32"
SIZE = ColumnSchema("size", "lesion", "numeric", unit="mm", quantiles=(1.0, 4.0, 9.0))
SITE = ColumnSchema("site", "lesion", "categorical", categories=("arm", "back", "leg"))
TILT = ColumnSchema("tilt", "lesion", "angle")
ITCH = ColumnSchema("itch", "lesion", "boolean", categories=("false", "true"))
AGE = ColumnSchema("age", "patient", "numeric", quantiles=(20.0, 50.0, 80.0))
SEX = ColumnSchema("sex", "patient", "categorical", categories=("female", "male"))
OLD = Schema((SIZE, SITE, TILT, AGE, SEX))
NEW = Schema(
    (
        ITCH,
        TILT,
        replace(SITE, categories=("scalp", "leg", "arm")),
        replace(SEX, categories=("male", "female")),
        replace(SIZE, unit="cm", quantiles=(0.2, 0.5, 1.0)),
        replace(AGE, level="lesion"),
    )
)


def model_of(schema: Schema, seed: int, **values) -> SlimpModel:
    encoder, _ = build_encoder(parse_backbone_id(VIT), random_init=True)
    torch.manual_seed(seed)
    card, settings = choose_card(VIT, encoder.facts), build_settings(**values)
    return SlimpModel(encoder, card=card, schema=schema, settings=settings)


def parent_of(schema: Schema = OLD, trained=("lesion", "patient"), **values) -> Parent:
    model = model_of(schema, 1, **values)
    card = choose_card(VIT, model.image_encoder.facts)
    return Parent(Path("run"), model, schema, card, trained, "digest")


def tokens(model: SlimpModel, schema: Schema, column: str, said: str = "", number: float = 0.0):
    """A column's token when it says a word or has a number: what the embeddings make of it."""
    level = next(item.level for item in schema.columns if item.name == column)
    own = schema.at(level)
    place = [item.name for item in own.columns].index(column)
    words = torch.zeros(1, len(own.word_owners), dtype=torch.bool)
    numbers = torch.zeros(1, len(own.number_owners))
    if said:
        first = own.word_owners.index(place)
        words[0, first + ["unknown", *own.columns[place].categories].index(said)] = True
    for owner, index in zip(own.number_owners, range(len(own.number_owners)), strict=True):
        numbers[0, index] = number if owner == place else 7.0
    encoder = model.lesion_encoder if level == "lesion" else model.patient_encoder
    observed = torch.ones(1, len(own.columns), dtype=torch.bool)
    return encoder._column_tokens(Metadata(numbers, words, observed))[0, place]


SAME = [("site", "arm", 0.0), ("site", "leg", 0.0), ("site", "unknown", 0.0), ("sex", "male", 0.0),
        ("size", "", 1.5), ("size", "unknown", 0.0), ("tilt", "", 0.3)]  # fmt: skip


@pytest.mark.parametrize(("column", "word", "number"), SAME)
def test_a_word_or_number_means_what_it_meant_wherever_it_stands(column, word, number):
    parent, model = parent_of(), model_of(NEW, 2)
    before = tokens(model, NEW, column, word, number).clone()
    warm_start_(model, NEW, parent)
    after = tokens(model, NEW, column, word, number)
    assert torch.equal(after, tokens(parent.model, OLD, column, word, number))
    assert not torch.equal(after, before)


def test_what_is_new_stays_fresh():
    parent, model = parent_of(), model_of(NEW, 2)
    fresh = {
        ("itch", "true"): tokens(model, NEW, "itch", "true").clone(),
        ("age", ""): tokens(model, NEW, "age", number=1.0).clone(),  # it was the patient's
    }
    place = NEW.at("lesion").word_owners.index(2) + 1  # scalp, a new word of a known column
    scalp = model.lesion_encoder.words[place].clone()
    warm_start_(model, NEW, parent)
    assert torch.equal(tokens(model, NEW, "itch", "true"), fresh["itch", "true"])
    assert torch.equal(tokens(model, NEW, "age", number=1.0), fresh["age", ""])
    assert torch.equal(model.lesion_encoder.words[place], scalp)


def test_blocks_class_tokens_and_heads_are_copied_whole():
    parent, model = parent_of(), model_of(NEW, 2)
    warm_start_(model, NEW, parent)
    tables = ("numbers.weight", "words", "column_bias")
    old = parent.model.state_dict()
    for name, value in model.state_dict().items():
        if not name.endswith(tables) and not name.startswith("image_encoder."):
            assert torch.equal(value, old[name]), name


def test_a_level_that_was_never_trained_stays_fresh():
    parent, model = parent_of(trained=("lesion",)), model_of(OLD, 2)
    before = {name: item.clone() for name, item in model.patient_encoder.state_dict().items()}
    warm_start_(model, OLD, parent)
    after = model.patient_encoder.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert torch.equal(model.lesion_encoder.words, parent.model.lesion_encoder.words)
    rows = {item.column: item for item in describe_columns(OLD, parent)}
    assert (rows["age"].start, rows["age"].note) == ("new", "the run has not trained its patients")


def test_temperatures_are_the_runs_unless_another_is_given():
    parent = parent_of(learn_temperature=True)
    with torch.no_grad():
        parent.model.log_scales.copy_(torch.tensor([1.0, 3.0]))
    same, other = model_of(NEW, 2), model_of(NEW, 2, temperature=0.5)
    for model in (same, other):
        warm_start_(model, NEW, parent)
    assert same.log_scales.tolist() == [1.0, 3.0]
    torch.testing.assert_close(other.scales(), torch.tensor([2.0, 2.0]))


def test_a_head_that_the_run_lacks_stays_fresh():
    model = model_of(NEW, 2, image_weight=1.0)
    head = model.project_view
    assert head is not None
    before = head[0].weight.clone()
    warm_start_(model, NEW, parent_of())
    assert torch.equal(head[0].weight, before)


def test_the_table_says_what_becomes_of_each_column():
    parent = parent_of()
    rows = {(item.level, item.column): item for item in describe_columns(NEW, parent)}
    site, size = rows["lesion", "site"], rows["lesion", "size"]
    assert site.copied_words == ("leg", "arm")
    assert (site.new_words, site.dropped_words) == (("scalp",), ("back",))
    assert site.describe() == "words: 2 copied, 1 new, 1 dropped"
    assert (size.old_median, size.new_median) == (4.0, 0.5)
    assert size.describe() == "unit mm -> cm; median 4 -> 0.5"
    assert rows["lesion", "age"].note == "in the run it is the patient's"
    starts = {key: item.start for key, item in rows.items()}
    assert starts == {
        ("lesion", "itch"): "new",
        ("lesion", "tilt"): "copied",
        ("lesion", "site"): "copied",
        ("patient", "sex"): "copied",
        ("lesion", "size"): "copied",
        ("lesion", "age"): "new",
        ("patient", "age"): "dropped",
    }
    other = Schema((replace(SITE, kind="multi"),))
    (changed, *_) = describe_columns(other, parent)
    assert (changed.start, changed.note) == ("new", "in the run it is categorical")
