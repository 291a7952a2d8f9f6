"""Published EP heads are read by their shapes and judged without training."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from conftest import assert_bad_input
from helpers.mutations import mutated_bytes, reads_or_refuses
from helpers.properties import few_examples
from toolkit_common.errors import InputError
from toolkit_common.features.contract import Features
from toolkit_probing.heads.files import (
    fill_head_,
    load_head,
    read_published_head,
    read_spec,
    save_head,
)
from toolkit_probing.heads.head import HeadSpec, build_head
from toolkit_probing.heads.inputs import read_inputs

WIDTH, CLASSES = 64, 2  # of timm:test_vit and of the fixture `image_folder`


def published_state(
    *, queries: int = 4, width: int = WIDTH, out: int = WIDTH, classes: int = CLASSES
) -> dict[str, Tensor]:
    """The state dict of the authors' Sequential(pool, BatchNorm1d, Linear)."""
    torch.manual_seed(0)
    norm, linear = nn.BatchNorm1d(out, affine=False), nn.Linear(out, classes)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    return {
        "0.cls_token": torch.randn(1, queries, width),
        "0.v.weight": torch.randn(out, width),
        **{f"1.{name}": value for name, value in norm.state_dict().items()},
        **{f"2.{name}": value for name, value in linear.state_dict().items()},
    }


def literal_head(state: dict[str, Tensor], tokens: Tensor) -> Tensor:
    """docs/poolings.md, from the published names."""
    queries = state["0.cls_token"][0]
    attention = (tokens @ queries.T / tokens.shape[-1] ** 0.5).softmax(1)
    values = (tokens @ state["0.v.weight"].T).unflatten(2, (len(queries), -1))
    pooled = torch.einsum("bnq,bnqm->bqm", attention, values).flatten(1)
    pooled = (pooled - state["1.running_mean"]) / (state["1.running_var"] + 1e-6).sqrt()
    return pooled @ state["2.weight"].T + state["2.bias"]


def read(path: Path, **change):
    wanted = {"width": WIDTH, "layer": 1, "source": "patches", "num_classes": CLASSES}
    return read_published_head(path, method="ep", **wanted | change)


@pytest.mark.parametrize("prefix", ["", "head.", "module.", "module.head."])
@pytest.mark.parametrize(("queries", "out"), [(4, 64), (1, 16), (8, 32)])
def test_a_published_head_gives_the_logits_of_the_papers_equations(tmp_path, prefix, queries, out):
    state = published_state(queries=queries, out=out)
    file = tmp_path / "head.pth"
    others = {"blocks.0.weight": torch.zeros(3)} if "head" in prefix else {}
    torch.save({"model": others | {f"{prefix}{k}": v for k, v in state.items()}}, file)
    spec, values = read(file)
    assert spec.options.get("width_divisor", 1) == WIDTH // out
    tokens = torch.randn(3, 5, WIDTH)
    head = build_head(spec, Features({}, tokens, (1, 5)), num_classes=CLASSES)
    fill_head_(head, values, file)
    torch.testing.assert_close(head.eval()(tokens), literal_head(state, tokens), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("change", "drop", "message"),
    [
        ({"width": 32, "out": 32}, "", "width 32, the backbone gives 64"),
        ({"classes": 5}, "", "5 classes, the data has 2"),
        ({"out": 24}, "", "width 24, which does not divide 64"),
        ({"queries": 3}, "", "num_queries=3; choose num_queries from: 1, 2, 4"),
        ({}, "1.running_var", "no running_var"),
        ({}, "0.cls_token", "no cls_token"),
    ],
)
def test_a_head_that_does_not_fit_is_refused_before_anything_is_written(
    run_cli, image_folder, tmp_path, change, drop, message
):
    state = published_state(**change)
    state.pop(drop, None)
    save_file(state, tmp_path / "head.safetensors")
    result = run_cli(
        "probe", "--backbone", "timm:test_vit?image_size=32", "--random-init",
        "--data", f"imagefolder:{image_folder}", "--head", tmp_path / "head.safetensors",
        "--output", tmp_path / "run",
    )  # fmt: skip
    assert_bad_input(result, "head.safetensors", message)
    assert not (tmp_path / "run").exists()


def test_an_unexpected_tensor_is_an_error_that_names_it(tmp_path):
    save_file(published_state() | {"0.k.weight": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"unexpected k\.weight"):
        read(tmp_path / "a.safetensors")


def test_queries_of_another_shape_are_an_error_that_names_it(tmp_path):
    state = published_state() | {"0.cls_token": torch.zeros(4, WIDTH)}
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"cls_token must have .* got \(4, 64\)"):
        read(tmp_path / "a.safetensors")


@pytest.mark.slow
def test_a_published_head_is_judged_without_training(run_cli, image_folder, tmp_path):
    save_file(published_state(), tmp_path / "head.safetensors")
    args = [
        "probe", "--backbone", "timm:test_vit?image_size=32", "--random-init",
        "--data", f"imagefolder:{image_folder}", "--head", tmp_path / "head.safetensors",
        "--output", tmp_path / "run",
    ]  # fmt: skip
    result = run_cli(*args)
    assert result.exit_code == 0, result.output
    results = json.loads((tmp_path / "run/results.json").read_text())
    (row,) = results["rows"]
    assert row["selected"] == "published head head.safetensors"
    assert row["settings"] == {"num_queries": 4}
    (kept,) = (tmp_path / "run/heads").iterdir()
    assert torch.equal(load_file(kept)["pool.queries"], published_state()["0.cls_token"][0])
    assert_bad_input(run_cli(*args, "--overwrite", "--method", "ep,knn"), "--method ep,knn")


def test_a_saved_head_says_what_it_is_and_loads_to_the_same_logits(tmp_path):
    features = Features({}, torch.randn(3, 5, 8), (1, 5))
    spec = HeadSpec("ep", 2, "patches", 0.1, 7, {"num_queries": 2})
    head = build_head(spec, features, num_classes=3)
    save_head(tmp_path / "a.safetensors", spec, head.state_dict())
    loaded_spec, loaded = load_head(tmp_path / "a.safetensors", features)
    assert loaded_spec == spec
    assert torch.equal(loaded(features.patches), head.eval()(features.patches))


def test_heads_that_do_not_say_what_they_are_or_are_damaged_are_refused(tmp_path):
    features = Features({}, torch.randn(3, 5, 8), (1, 5))
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"a\.safetensors does not say what head it is"):
        load_head(tmp_path / "a.safetensors", features)
    (tmp_path / "b.safetensors").write_bytes(b"short")
    with pytest.raises(ValueError, match=r"cannot read the head .*b\.safetensors"):
        load_head(tmp_path / "b.safetensors", features)


def stored_before(name: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A head's state as it was while a single learned query was a vector, CaiT's maps one."""
    query = "pool.cls_token" if name == "cait" else "pool.query"
    state = {**state, query: state[query][0]}
    if name == "cait":
        for kind in ("weight", "bias"):
            parts = [state.pop(f"pool.to_{item}.{kind}") for item in ("query", "key", "value")]
            state[f"pool.qkv.{kind}"] = torch.cat(parts)
    return state


@pytest.mark.parametrize("name", ["aim", "cae", "cait", "jepa", "mhca"])
def test_a_head_of_before_is_converted_and_named(tmp_path, capsys, name):
    tokens = torch.randn(3, 6, WIDTH)
    features = Features({}, tokens, (2, 3))
    spec = HeadSpec(name, 1, "patches", 0.1, 0)
    head = build_head(spec, features, num_classes=CLASSES).eval()
    old = stored_before(name, head.state_dict())
    save_head(tmp_path / "head.safetensors", spec, {k: v.clone() for k, v in old.items()})
    _, loaded = load_head(tmp_path / "head.safetensors", features)
    assert torch.equal(loaded(tokens), head(tokens))
    message = " ".join(capsys.readouterr().err.split())
    first = "pool.cls_token" if name == "cait" else "pool.query"
    assert f"head.safetensors is of an earlier version, converted: {first} ({WIDTH},)" in message


def test_a_head_of_today_is_read_without_a_word(tmp_path, capsys):
    features = Features({}, torch.randn(3, 6, WIDTH), (2, 3))
    spec = HeadSpec("cait", 1, "patches", 0.1, 0)
    head = build_head(spec, features, num_classes=CLASSES)
    save_head(tmp_path / "head.safetensors", spec, head.state_dict())
    load_head(tmp_path / "head.safetensors", features)
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_a_mutated_head_gives_an_error_or_a_head(tmp_path):
    features = Features({"cls": torch.randn(2, WIDTH)}, torch.randn(2, 4, WIDTH), (2, 2))
    spec = HeadSpec("ep", 1, "patches", 0.1, 0, {"num_queries": 4})
    head = build_head(spec, features, num_classes=CLASSES)
    save_head(tmp_path / "head.safetensors", spec, head.state_dict())
    content = (tmp_path / "head.safetensors").read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")  # its header: tensors are any numbers

    @few_examples
    @given(mutated_bytes(content[:start]))
    def check(changed):
        (tmp_path / "head.safetensors").write_bytes(changed + content[start:])
        read = reads_or_refuses(lambda: load_head(tmp_path / "head.safetensors", features))
        if read is not None:
            assert read[1](read_inputs(features, spec.source)).shape == (2, CLASSES)

    check()


@pytest.mark.parametrize("spec", ["[]", "{", '{"method": "ep"}', '{"x": 1}', "3", "[" * 9999,
    '{"method": "ep", "layer": "1", "source": "patches", "base_lr": 0.1, "seed": 0}',
])  # fmt: skip
def test_a_spec_that_is_none_is_refused(spec, tmp_path):
    path = tmp_path / "head.safetensors"
    save_file({"classifier.weight": torch.ones(2, 2)}, path, metadata={"spec": spec})
    with pytest.raises(InputError, match=r"head\.safetensors"):
        read_spec(path)
