"""What the audit calls a leak is not read in pre-training: by value, by name, in any schema."""

import json

import numpy as np
import pytest

from conftest import assert_bad_input
from helpers.small_data import build_data
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.errors import InputError
from toolkit_common.sources.bare import bare_sheet
from toolkit_common.sources.load import load_data
from toolkit_slimp.metadata.infer import infer_schema
from toolkit_slimp.metadata.leaks import drop_leaks, find_leaks, refuse_leaks

COUNT = 80
DRAWS = np.random.default_rng(0)
LABELS = ["ab"[row % 2] for row in range(COUNT)]
HONEST = [float(value) for value in DRAWS.normal(size=COUNT) + np.arange(COUNT) % 2]
TELLS = [float(value) for value in DRAWS.normal(size=COUNT) + 9 * (np.arange(COUNT) % 2)]


def build(sheet=None, **columns):
    groups = [f"p{row // 2}" for row in range(COUNT)]
    return build_data(
        LABELS, groups=groups, sheet=sheet, **{"honest": HONEST, "tells": TELLS, **columns}
    )


def test_a_column_that_tells_the_label_is_named_with_the_audits_sentence():
    leaks = find_leaks(build(), ["honest", "tells"])
    assert list(leaks) == ["tells"]
    assert "column 'tells' alone tells 'b': AUROC 1.000" in leaks["tells"]


def test_a_column_of_a_leak_list_is_one_whatever_it_holds():
    sheet = bare_sheet("own")
    assert "biopsed" in sheet.suspects
    noise = [str(value) for value in DRAWS.integers(0, 2, COUNT)]
    leaks = find_leaks(build(sheet, biopsed=noise), ["honest", "biopsed"])
    assert list(leaks) == ["biopsed"]
    assert "is on a leak list" in leaks["biopsed"]
    assert "take it out" not in leaks["biopsed"]  # whoever is told this cannot


def test_any_label_of_the_sheet_counts_and_without_one_the_names_alone():
    other = [value.upper() for value in LABELS]
    two = Sheet("two", labels=("other", "label"))
    data = build(two, other=["x"] * 40 + ["y"] * 40)
    assert list(find_leaks(data, ["honest", "tells"])) == ["tells"]
    none = bare_sheet("none")
    data = build_data(["a"] * COUNT, sheet=none, tells=TELLS, biopsed=other)
    assert list(find_leaks(data, ["tells", "biopsed"])) == ["biopsed"]


def test_a_leak_is_refused_unless_it_is_accepted_by_name():
    data = build()
    schema = infer_schema(data, np.arange(COUNT))
    with pytest.raises(InputError, match=r"calls tells of 'small' a leak.*--allow-leaks tells$"):
        refuse_leaks(data, schema)
    refuse_leaks(data, schema, accepted=("tells",))
    with pytest.raises(InputError, match="allow_leaks tell: no such column is read; read are hon"):
        refuse_leaks(data, schema, accepted=("tell",))


def test_a_schema_is_written_without_leaks_and_not_without_columns(capsys):
    data = build()
    schema = drop_leaks(data, infer_schema(data, np.arange(COUNT)))
    assert [column.name for column in schema.columns] == ["honest"]
    assert "left out: column 'tells' alone tells" in " ".join(capsys.readouterr().err.split())
    only = build(Sheet("only", columns=(Column("tells", "lesion", "numeric"),)))
    with pytest.raises(InputError, match=r"all metadata columns of 'small' are leaks.*: tells"):
        drop_leaks(only, infer_schema(only, np.arange(COUNT)))


def test_empty_cells_that_tell_the_label_are_said_and_read(capsys):
    absent = [None if label == "a" else value for label, value in zip(LABELS, HONEST, strict=True)]
    data = build(gaps=absent)
    schema = infer_schema(data, np.arange(COUNT))
    refuse_leaks(data, schema, accepted=("tells",))
    message = " ".join(capsys.readouterr().err.split())
    assert "label 'label': empty cells tell 'a': AUROC 1.000 from 'gaps' being empty" in message


@pytest.mark.slow
def test_honest_columns_of_real_lesions_are_no_leaks():
    data = load_data("lesions")
    schema = infer_schema(data, np.arange(len(data)))
    assert len(schema.columns) == 21
    assert drop_leaks(data, schema) == schema


@pytest.mark.slow
def test_pretraining_refuses_what_the_audit_calls_a_leak_and_data_schema_leaves_it_out(
    pretrain, run_cli, patients, tmp_path
):
    path = tmp_path / "table.csv"
    header, *lines = path.read_text().splitlines()
    draws = np.random.default_rng(2)
    told = [f"{line},{draws.normal(10 if ',dark,' in line else 0, 1):.3f}" for line in lines]
    path.write_text("\n".join([f"{header},score", *told]) + "\n")
    audited = run_cli("data", "audit", patients, "--label", "label", "--no-images")
    assert "column 'score' alone tells" in " ".join(audited.output.split())
    refused = pretrain("--epochs", "1")
    assert_bad_input(refused, "the audit calls score", "alone tells 'dark'", "--allow-leaks score")
    assert not (tmp_path / "run").exists()
    schema = tmp_path / "schema.json"
    written = run_cli("data", "schema", patients, "--output", schema)
    assert "left out: column 'score'" in " ".join(written.stderr.split())
    names = [column["name"] for column in json.loads(schema.read_text())["columns"]]
    assert names == ["brightness", "age"]
    assert pretrain("--epochs", "1", "--schema", schema).exit_code == 0
    accepted = pretrain("--epochs", "1", "--allow-leaks", "score", output=tmp_path / "accepted")
    assert accepted.exit_code == 0, accepted.output
    config = (tmp_path / "accepted/config.yaml").read_text()
    assert "allow_leaks:" in config
    assert "score" in config.split("allow_leaks:")[1][:40]
