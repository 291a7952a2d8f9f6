"""A probe and its encoder are one ONNX graph, which computes what they do."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from conftest import assert_bad_input
from helpers.saved_runs import write_results
from probing.predict.test_saved_probe import ABMILP, EP, LINEAR
from toolkit_common.images.open import open_image
from toolkit_common.images.transforms import Preprocess, build_eval_transform
from toolkit_probing.heads.files import read_spec, save_head
from toolkit_probing.predict import graph

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.slow


def answer(file: Path, places: list[str]) -> np.ndarray:
    """Read images as the JSON file beside a graph says, and return the graph's probabilities."""
    described = json.loads(file.with_suffix(".json").read_text())["preprocess"]
    sequences = {key: tuple(described[key]) for key in ("image_size", "mean", "std")}
    preprocess = Preprocess(**{**described, **sequences})
    transform = build_eval_transform(preprocess)
    images = torch.stack([transform(open_image({"bytes": None, "path": at})) for at in places])
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    probabilities, logits = session.run(None, {"images": preprocess.normalize(images).numpy()})
    np.testing.assert_allclose(torch.from_numpy(logits).softmax(dim=1), probabilities, atol=1e-6)
    return np.asarray(probabilities)


@pytest.mark.parametrize("row", [EP, LINEAR, ABMILP])
def test_a_graph_answers_images_as_the_probe_does(
    run_cli, predicted, finished, new, tmp_path, row
) -> None:
    file = tmp_path / "probe.onnx"
    result = run_cli("export", "--from", finished / "run", "--onnx", file, "--row", row)
    assert result.exit_code == 0, result.output
    assert "writing an ONNX graph of opset 20" in result.stderr
    assert "on batches of 1, 2 and 5 images" in result.stderr
    assert "(tolerance 0.0001)" in result.stderr
    table = predicted("--images", new, "--row", row)
    wanted = table.filter(like="probability_").to_numpy()
    # The run kept its tokens in fp16.
    np.testing.assert_allclose(answer(file, table["image"].tolist()), wanted, rtol=0, atol=2e-4)


def test_a_graph_says_what_it_is_and_where_nothing_lies(run_cli, finished, tmp_path) -> None:
    file = tmp_path / "probe.onnx"
    result = run_cli(
        "export", "--from", finished / "run", "--onnx", file, "--row", LINEAR, "--json"
    )
    assert result.exit_code == 0, result.output
    described = json.loads(file.with_suffix(".json").read_text())
    assert json.loads(result.stdout) == described
    assert described["classes"] == ["dark", "light"]
    assert described["input"]["shape"] == ["b", 3, 32, 32]
    assert described["preprocess"]["interpolation"] == "bicubic"
    assert described["protocol"].startswith("protocol honest v2 with")
    inside = {item.key: json.loads(item.value) for item in onnx.load(file).metadata_props}
    assert {**described, **inside} == described
    assert inside["classes"] == ["dark", "light"]
    for content in (file.read_bytes(), file.with_suffix(".json").read_bytes()):
        assert str(finished).encode() not in content
        assert b"dark-" not in content  # the patients
        # The exporter notes of each node which lines of which files it is from.
        assert str(Path(graph.__file__).parent).encode() not in content
        assert b'File "' not in content


def test_a_graph_that_differs_is_not_kept(run_cli, finished, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("toolkit_probing.predict.graph.TOLERANCE", -1.0)
    file = tmp_path / "here/probe.onnx"
    result = run_cli("export", "--from", finished / "run", "--onnx", file, "--row", LINEAR)
    assert result.exit_code == 1
    assert "error: onnxruntime computes something else: largest diff" in result.stderr
    assert list(file.parent.iterdir()) == []


def test_what_cannot_be_exported_is_refused(run_cli, finished, copied, monkeypatch) -> None:
    start = ["export", "--from", finished / "run", "--onnx"]
    assert_bad_input(run_cli(*start, "out.pt"), "--onnx out.pt: give a file that ends in .onnx")
    assert_bad_input(run_cli(*start, "out.onnx", "--row", "knn"), "has no head that predicts")
    monkeypatch.setattr("toolkit_probing.predict.graph.LARGEST", 1000)
    assert_bad_input(run_cli(*start, "out.onnx"), "do not fit in one ONNX file of 2 GiB")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as if it were not installed
    result = run_cli(*start, "out.onnx")
    assert_bad_input(result, "onnxruntime", "pip install 'toolkit-probing[onnx]'")


def test_a_probe_that_reads_metadata_is_refused(run_cli, copied) -> None:
    file = copied / "heads/linear-layer6-cls-lr0p003-seed0.safetensors"
    spec = read_spec(file)
    results = json.loads((copied / "results.json").read_text())
    for row in results["rows"]:
        if row["name"] == LINEAR:
            row["name"], row["source"] = "linear-layer6-cls+meta", "cls+meta"
    write_results(copied, results)
    other = type(spec)(spec.method, spec.layer, "cls+meta", spec.base_lr, spec.seed, spec.options)
    save_head(copied / "heads" / f"{other.key}.safetensors", other, load_file(file))
    result = run_cli(
        "export", "--from", copied, "--onnx", "out.onnx", "--row", "linear-layer6-cls+meta"
    )
    assert_bad_input(result, "reads metadata, and an ONNX graph takes images alone")
