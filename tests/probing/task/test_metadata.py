"""`toolkit probe --inputs`: metadata of an exported encoder as what is read, or beside images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from conftest import assert_bad_input
from helpers.slimp_run import HEADER, pretrain, table_rows, write_table
from helpers.small_data import build_data
from toolkit_common.backbones.metadata import load_metadata_encoders
from toolkit_common.data.sheet import Sheet
from toolkit_common.data.splits import Splits
from toolkit_probing.settings import FeatureSettings, ProbeSettings
from toolkit_probing.task.metadata import TaskMetadata, read_task_metadata
from toolkit_probing.task.task import Task, load_task

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of lesions and a SLIMP run on it."""
    root = tmp_path_factory.mktemp("metadata")
    pretrain(write_table(root / "table.csv", table_rows()), root / "run", "--bank-size", "0")
    return root


@pytest.fixture
def probe(run_cli, root, tmp_path):
    small = tmp_path / "small.yaml"  # a file's options of methods that are not requested are left
    small.write_text("ep: {num_queries: 4}\nknn: {k: 3}\n")

    def run(*args, data=f"csv:{root / 'table.csv'}", output=tmp_path / "probe"):
        return run_cli(
            "probe", "--backbone", root / "run", "--data", data, "--epochs", "2", "--lr", "0.1",
            "--warmup-epochs", "0", "--config", small, "--output", output, *args,
        )  # fmt: skip

    return run


def rows_of(result) -> list[dict]:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["rows"]


def settings(root: Path, inputs: str) -> ProbeSettings:
    return ProbeSettings(backbone=str(root / "run"), inputs=inputs)


def load(data: str, **chosen: Any) -> Task:
    return load_task(FeatureSettings(data=data, **chosen))


def read(root: Path, inputs: str, task: Task | None = None) -> TaskMetadata:
    metadata = read_task_metadata(settings(root, inputs), task or load(f"csv:{root / 'table.csv'}"))
    assert metadata is not None
    return metadata


def test_every_choice_of_inputs_is_named_in_the_results(probe, tmp_path):
    for inputs, sources in {
        "image": ["all", "cls", "cls", "cls"],
        "image+meta": ["all+meta", "cls+meta", "cls+meta", "cls+meta"],
        "lesion": ["lesion"] * 3,
        "patient": ["patient"] * 3,
    }.items():
        methods = "ep,linear,knn,logreg" if inputs.startswith("image") else "linear,knn,logreg"
        result = probe("--inputs", inputs, "--method", methods, "--json", "-o", tmp_path / inputs)
        assert [row["source"] for row in rows_of(result)] == sources
        results = json.loads((tmp_path / inputs / "results.json").read_text())
        assert results["inputs"]["read"] == inputs
        assert {row["inputs"] for row in results["rows"]} == {inputs}
        assert (results["inputs"]["metadata"] is None) == (inputs == "image")
        if inputs in ("lesion", "patient"):
            assert results["inputs"]["metadata"]["columns"].keys() == {inputs}
            assert "extracting" not in result.stderr
            assert {row["layer"] for row in results["rows"]} == {0}
    digest = json.loads((tmp_path / "lesion/run.json").read_text())["metadata_encoders"]
    assert results["inputs"]["metadata"]["encoders"] == digest


def test_stored_image_tokens_serve_whatever_is_put_beside_them(probe, tmp_path):
    plain = json.loads(probe("--json").stdout)
    beside = json.loads(probe("--json", "--inputs", "image+meta", "-o", tmp_path / "b").stdout)
    assert (plain["features"]["was_cached"], beside["features"]["was_cached"]) == (False, True)
    assert beside["rows"][0]["metrics"] != plain["rows"][0]["metrics"]
    again = json.loads(probe("--json", "--inputs", "image", "-o", tmp_path / "c").stdout)
    assert again["rows"] == plain["rows"]


def test_each_row_is_encoded_as_if_alone(root):
    task = load(f"csv:{root / 'table.csv'}")
    metadata = read(root, "image+meta", task)
    encoders = load_metadata_encoders(root / "run")
    assert set(metadata.vectors) == {"lesion", "patient"}
    shown = task.data.table.drop(columns=["label"])
    for level, vectors in metadata.vectors.items():
        for position, row in enumerate(task.rows):
            alone = encoders.encode(shown.iloc[[row]], level).vectors
            torch.testing.assert_close(vectors[position], alone[0])


def test_a_shuffled_table_gives_every_image_the_same_prediction(probe, root, tmp_path):
    order = np.random.default_rng(3).permutation(30)
    shuffled = write_table(root / "shuffled.csv", [table_rows()[row] for row in order])
    probabilities = []
    for name, data in {"a": f"csv:{root / 'table.csv'}", "b": shuffled}.items():
        options = ["--inputs", "image+meta", "--method", "knn", "--store-dtype", "fp32"]
        assert probe(*options, data=data, output=tmp_path / name).exit_code == 0
        (path,) = (tmp_path / name / "predictions").glob("*knn*")
        table = pq.read_table(path).to_pandas().set_index("image_id")
        probabilities.append(table["probabilities"])
    assert list(probabilities[0].index) != list(probabilities[1].index)
    for image, expected in probabilities[0].items():
        np.testing.assert_allclose(probabilities[1][image], expected, atol=1e-4)


def test_columns_that_the_data_lack_are_named_and_missing(probe, root, tmp_path):
    rows = [",".join(row.split(",")[:5]) for row in table_rows()]
    data = write_table(root / "less.csv", rows, "image,label,group,split,size_mm")
    result = probe("--inputs", "image+meta", "--method", "linear", data=data)
    assert result.exit_code == 0, result.output
    assert "less.csv has no site, age, sex: read as missing" in result.stderr
    facts = json.loads((tmp_path / "probe/results.json").read_text())["inputs"]["metadata"]
    assert facts["absent"] == ["site", "age", "sex"]
    assert facts["columns"] == {"lesion": ["size_mm", "site"]}
    refused = probe("--inputs", "patient", "--method", "linear", data=data, output=tmp_path / "no")
    assert_bad_input(refused, "--inputs patient: data set", "age (absent), sex (absent)")
    assert not (tmp_path / "no").exists()


def test_what_is_predicted_is_never_an_input(probe, root, tmp_path):
    result = probe("--inputs", "lesion", "--method", "knn", "--label", "site")
    assert result.exit_code == 0, result.output
    assert "site is read as missing: what is predicted" in result.stderr
    data = write_table(root / "other.csv", [row.replace(",arm", ",leg") for row in table_rows()])
    one, other = (
        read(root, "lesion", load(identifier, label="site")).vectors["lesion"]
        for identifier in (f"csv:{root / 'table.csv'}", data)
    )
    assert torch.equal(one, other)


def test_leaks_of_the_data_are_never_inputs(root, capsys):
    sheet = Sheet("toy", leaks={"size_mm": "measured after the diagnosis"})
    columns = {"size_mm": ["1", "2", "3", "4"], "site": ["arm", "leg", "arm", "leg"]}
    data = build_data(list("abab"), sheet=sheet, **columns)
    splits = Splits(*(np.array([row]) for row in (1, 2, 3)), origin="made")
    task = Task(data, data.labels(), splits, data.table.iloc[:0])
    metadata = read(root, "lesion", task)
    assert metadata.facts["hidden"] == {"size_mm": "measured after the diagnosis"}
    encoders = load_metadata_encoders(root / "run")
    expected = encoders.encode(data.table.drop(columns="size_mm").iloc[[1, 2, 3]], "lesion")
    assert torch.equal(metadata.vectors["lesion"], expected.vectors)


def test_words_never_seen_are_counted(root, capsys):
    rows = [row.replace(",arm,", ",moon,") for row in table_rows()]
    metadata = read(root, "lesion", load(write_table(root / "moon.csv", rows)))
    assert metadata.facts["unseen"] == {"site": 10}
    assert "site has 10 values that pre-training never saw" in capsys.readouterr().err


def test_all_methods_without_an_image_are_those_that_read_a_vector(probe):
    rows = rows_of(probe("--inputs", "patient", "--method", "all", "--json"))
    assert [row["name"] for row in rows] == [
        "linear-patient",
        "knn-patient",
        "logreg-patient",
    ]


def test_crops_have_metadata_beside_them_too(probe):
    options = ["--inputs", "image+meta", "--augment", "crops", "--method", "ep,mean", "--json"]
    assert [row["source"] for row in rows_of(probe(*options))] == ["all+meta", "mean+meta"]


def test_a_head_with_metadata_is_drawn_without_any(probe, run_cli, tmp_path):
    assert probe("--inputs", "image+meta", "--method", "ep").exit_code == 0
    (head,) = (tmp_path / "probe/heads").iterdir()
    assert load_file(head)["classifier.weight"].shape[1] == 64 + 2 * 8
    result = run_cli("attention", "--from", tmp_path / "probe", "--num-images", "2")
    assert result.exit_code == 0, result.output


def test_compare_and_report_name_the_inputs(probe, run_cli, tmp_path):
    for name, inputs in {"a": "image", "b": "image+meta"}.items():
        options = ["--inputs", inputs, "--method", "knn", "-o", tmp_path / name]
        assert probe(*options).exit_code == 0
    result = run_cli("compare", tmp_path / "a", tmp_path / "b", "--metric", "top1", "--json")
    (entry,) = json.loads(result.stdout)["comparisons"]
    assert [entry[side]["inputs"] for side in ("first_row", "second_row")] == [
        "image",
        "image+meta",
    ]
    shown = run_cli("compare", tmp_path / "a", tmp_path / "b").stdout
    assert "NOT OF THE SAME INPUTS: image, image+meta" in shown
    page = tmp_path / "report.html"
    shown = run_cli("report", tmp_path / "a", tmp_path / "b", "-o", page)
    assert "inputs image, protocol" in shown.stdout
    assert "inputs image+meta, protocol" in shown.stdout
    assert "<dd>image+meta</dd>" in page.read_text()


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--method", "ep"], ["method ep reads tokens", "--inputs lesion has none"]),
        (["--method", "cls"], ["method cls reads tokens", "linear, knn or logreg"]),
        (["--method", "knn", "--vectors", "mean"], ["--vectors is about", "lesion reads none"]),
        (["--method", "knn", "--layers", "1"], ["--layers is about images"]),
        (["--method", "linear", "--augment", "crops"], ["--augment crops is about images"]),
        (["--method", "knn", "--random-init"], ["--random-init asks for an untrained control"]),
        (["--method", "ep", "--head", "h.pth"], ["drop --inputs lesion or --head"]),
        (["--method", "knn", "--backbone", "timm:test_vit?image_size=32"],
         ["no weights for timm:test_vit"]),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(probe, tmp_path, options, parts):
    assert_bad_input(probe("--inputs", "lesion", *options), *parts)
    assert not (tmp_path / "probe").exists()


def test_an_encoder_without_metadata_is_refused(run_cli, probe, root, tmp_path):
    result = run_cli("probe", "--inputs", "lesion", "--method", "knn")
    assert_bad_input(result, "needs metadata encoders", "pretrain slimp, not none")
    data = write_table(
        root / "flat.csv", [",".join(row.split(",")[:5]) for row in table_rows()],
        HEADER.rpartition(",site")[0],
    )  # fmt: skip
    pretrain(data, tmp_path / "run", "--bank-size", "0")
    again = ["--inputs", "patient", "--method", "knn", "--backbone", tmp_path / "run"]
    assert_bad_input(probe(*again), "--inputs patient", "was trained with no such metadata")
