"""A probe and its encoder as one ONNX graph: from normalised images to probabilities and logits.

The graph computes in fp32 what the encoder and the head compute. It is run by onnxruntime before it
is kept, on batches of other sizes than the one that it was traced with, and compared.

Shapes: b images, (h, w) their size, c classes.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from toolkit_common.backbones.contract import ImageEncoder
from toolkit_common.console import console
from toolkit_common.errors import InputError
from toolkit_common.extras import require
from toolkit_common.features.contract import Features, features_of
from toolkit_common.runs.files import atomic_path, refuse_no_file, sha256_of, write_json
from toolkit_common.seed import generator
from toolkit_probing.heads.bank import SAMPLE
from toolkit_probing.heads.files import load_head
from toolkit_probing.heads.head import Head
from toolkit_probing.heads.inputs import NO_LAYER, base_of, read_source
from toolkit_probing.predict.saved_probe import SavedProbe, choose_probe, load_encoder

OPSET = 20  # the highest that torch 2.11's exporter writes by itself
IMAGES, OUTPUTS = "images", ("probabilities", "logits")
BATCHES = (1, 2, 5)  # sizes that are compared; the graph is traced with 2
TOLERANCE = 1e-4  # of probabilities, and of logits as a share of the largest, at least of 1
LARGEST = 2_000_000_000  # bytes of weights: one file holds 2 GiB
LIBRARIES = ("onnx", "onnxruntime", "onnxscript")


class ProbeGraph(nn.Module):
    """An encoder and a head in one module.

    Args:
        encoder: The encoder.
        head: The head, in eval mode.
        layer: Layer that the head reads.
        source: What it reads there.

    Shape:
        normalised images `(b, 3, h, w)` -> probabilities `(b, c)`, logits `(b, c)`.
    """

    def __init__(self, encoder: ImageEncoder, head: Head, *, layer: int, source: str) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.layer = layer
        self.source = source

    @override
    def forward(
        self, images: Float[Tensor, "b 3 h w"]
    ) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b c"]]:
        features = _features(self.encoder, images, layer=self.layer, source=self.source)
        logits = self.head(read_source(features, self.source))
        return logits.softmax(dim=1), logits


def export_onnx(
    run: Path, file: Path, *, row: str | None = None, backbone: str | None = None
) -> dict[str, Any]:
    """Write a run's probe as an ONNX file, with a JSON file beside that describes it.

    Args:
        run: Finished probe run.
        file: Where to, with the ending .onnx.
        row: Row of the results or file of a head, as of `toolkit predict`.
        backbone: Where the run's encoder lies now, if elsewhere.

    Returns:
        What the JSON file holds.

    Raises:
        InputError: If the libraries are missing, or the probe reads what is no image.
        RuntimeError: If the graph cannot be made, or onnxruntime computes something else.
    """
    refuse_no_file(file, ".onnx", option="--onnx")
    str(file).encode()  # onnxruntime opens no other name: said as any name that is no UTF-8
    _require_libraries()
    probe = choose_probe(run, row=row)
    if probe.spec.layer == NO_LAYER or base_of(probe.spec.source) != probe.spec.source:
        raise InputError(
            f"row {probe.row.name} of {run} reads metadata, and an ONNX graph takes images alone: "
            "choose a row of a run with --inputs image"
        )
    graph = _build(probe, backbone)
    weights = sum(item.numel() * 4 for item in graph.state_dict().values())
    if weights > LARGEST:
        raise InputError(f"{weights:,} bytes of weights do not fit in one ONNX file of 2 GiB")
    described = _describe(probe, graph)
    with atomic_path(file) as temporary:
        _write(graph, temporary, described)
        described["largest_difference"] = _compare(graph, temporary)
    described["sha256"] = sha256_of(file)
    write_json(file.with_suffix(".json"), described)
    console.print(f"{file}, described in {file.with_suffix('.json')}", markup=False)
    return described


def _require_libraries() -> None:
    purpose = "toolkit export --onnx"
    require("onnx", extra="onnx", purpose=purpose, package="toolkit-probing")
    require("onnxscript", extra="onnx", purpose=purpose, package="toolkit-probing")
    require("onnxruntime", extra="onnx", purpose=purpose, package="toolkit-probing")


def _build(probe: SavedProbe, backbone: str | None) -> ProbeGraph:
    """Return encoder and head of a probe on the CPU, ready to be traced."""
    loaded, spec = load_encoder(probe, backbone).backbone, probe.spec
    encoder = loaded.encoder
    encoder.preprocess = loaded.info.preprocess  # that of the run
    images = _images(encoder, SAMPLE)
    with torch.no_grad():
        features = _features(encoder, images, layer=spec.layer, source=spec.source)
    _, head = load_head(probe.head, features)
    return ProbeGraph(encoder, head, layer=spec.layer, source=spec.source).eval()


def _features(encoder: ImageEncoder, images: Tensor, *, layer: int, source: str) -> Features:
    (tokens,) = encoder.forward_layers(images, (layer,), pooled=source == "pooled")
    return features_of(tokens, encoder.facts, with_patches=True)


def _images(encoder: ImageEncoder, count: int) -> Tensor:
    """Return images of noise, the same ones each time."""
    height, width = encoder.preprocess.image_size
    return torch.randn(count, 3, height, width, generator=generator(0, "onnx", count))


def _write(graph: ProbeGraph, file: Path, described: Mapping[str, Any]) -> None:
    import onnx

    console.print(f"writing an ONNX graph of opset {OPSET} with torch {torch.__version__}")
    with warnings.catch_warnings(), redirect_stdout(StringIO()), torch.no_grad():
        # The exporter's, about its own insides.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph,
            (_images(graph.encoder, SAMPLE),),
            file,
            input_names=[IMAGES],
            output_names=list(OUTPUTS),
            opset_version=OPSET,
            dynamic_shapes=({0: torch.export.Dim("b", min=1)},),
            external_data=False,
            verbose=False,
        )
    model = onnx.load(file)
    _forget_places_(model.graph)
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in described.items()})
    onnx.checker.check_model(model)
    onnx.save(model, file)


def _forget_places_(graph: Any) -> None:
    """Take out what the exporter notes of each node: the lines of code on this machine."""
    graph.ClearField("metadata_props")
    for item in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    for attribute in (item for node in graph.node for item in node.attribute):
        for inner in (attribute.g, *attribute.graphs):
            if inner.node:
                _forget_places_(inner)


def _compare(graph: ProbeGraph, file: Path) -> dict[str, float]:
    """Return the largest differences between the file and the module.

    Raises:
        RuntimeError: If one is beyond the tolerance.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    largest = dict.fromkeys(OUTPUTS, 0.0)
    for count in BATCHES:
        images = _images(graph.encoder, count)
        with torch.no_grad():
            wanted = graph(images)
        for name, mine, theirs in zip(
            OUTPUTS, wanted, session.run(list(OUTPUTS), {IMAGES: images.numpy()}), strict=True
        ):
            scale = max(1.0, float(mine.abs().max())) if name == "logits" else 1.0
            gap = float(np.abs(mine.numpy() - theirs).max()) / scale
            largest[name] = max(largest[name], gap if np.isfinite(gap) else np.inf)
    shown = ", ".join(f"{name} {gap:.2g}" for name, gap in largest.items())
    if max(largest.values()) > TOLERANCE:
        raise RuntimeError(
            f"onnxruntime computes something else: largest differences {shown}, tolerance "
            f"{TOLERANCE:g}; no file was written"
        )
    console.print(
        f"onnxruntime {onnxruntime.__version__} on batches of {_join(BATCHES)} images: largest "
        f"differences {shown} (tolerance {TOLERANCE:g})"
    )
    return largest


def _join(numbers: Sequence[int]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def _describe(probe: SavedProbe, graph: ProbeGraph) -> dict[str, Any]:
    """Return what must be known to use the graph; no place on this machine is in it."""
    results, encoder = probe.results, graph.encoder
    height, width = encoder.preprocess.image_size
    return {
        "classes": list(probe.classes),
        "label": results.data.label,
        "input": {
            "name": IMAGES,
            "shape": ["b", 3, height, width],
            "values": "RGB of 0 to 1, less mean, divided by std; see preprocess",
        },
        "outputs": list(OUTPUTS),
        "preprocess": asdict(encoder.preprocess),
        "pixel_range": results.data.pixel_range and asdict(results.data.pixel_range),
        "method": probe.spec.method,
        "layer": probe.spec.layer,
        "source": probe.spec.source,
        "row": probe.row.name,
        "head": probe.head.stem,
        "head_sha256": sha256_of(probe.head),
        "protocol": results.protocol.line,
        "selected": probe.row.selected,
        "random_weights": results.backbone.random_weights,
        "data_licence": results.data.licence,
        "seen": probe.row.seen,
        "opset": OPSET,
        "tolerance": TOLERANCE,
        "versions": {name: version(name) for name in ("torch", *LIBRARIES)},
    }
