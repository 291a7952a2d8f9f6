"""`toolkit pretrain slimp --from RUN`: what stays, what is handed on, what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from typer.testing import CliRunner

from conftest import assert_bad_input
from helpers.ranks import run_toolkit
from helpers.slimp_run import NUM_PATIENTS, pretrain, run_killed, table_rows, write_table
from toolkit_common.cli.app import app
from toolkit_common.seen.record import read_seen

FILES = ("encoder.safetensors", "slimp.safetensors")
SECOND = "image,label,group,split,site,itch,age,sex,size_mm"


def second_rows(name: str = "q") -> list[str]:
    """Other patients with other columns: no `back`, a `scalp`, `itch`, sizes in another unit."""
    rows = []
    for row in table_rows():
        image, label, patient, split, size, site, age, sex = row.split(",")
        site, itch = site.replace("back", "scalp"), ("yes", "no")[int(image.split(".")[0]) // 3 % 2]
        size = f"{float(size) / 10:.3f}"
        rows.append(f"{image},{label},{name}{patient},{split},{site},{itch},{age},{sex},{size}")
    return rows


def write_second(path: Path, rows: list[str] | None = None, header: str = SECOND, seed: int = 7):
    """Write the second table and images of its own; returns the data set's id."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draws = np.random.default_rng(seed)
    for number in range(2 * NUM_PATIENTS):
        pixels = draws.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path.parent / f"{number}.png")
    return write_table(path, second_rows() if rows is None else rows, header)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("continual")
    first = write_table(root / "table.csv", table_rows())
    pretrain(first, root / "vit")
    pretrain(first, root / "cnn", "--backbone", "timm:test_resnet?image_size=32")
    write_second(root / "second/table.csv")
    return root


def adapt(root: Path, output: Path, *options: Any, run: str | Path = "vit", data: str = ""):
    words = ["pretrain", "slimp", "--from", root / run, "--output", output, "--epochs", "1",
             "--data", data or f"csv:{root / 'second/table.csv'}", "--patients-per-batch", "4",
             "--allow-leaks", "size_mm", "--no-report", *options]  # fmt: skip
    return CliRunner().invoke(app, [str(word) for word in words], prog_name="toolkit")


def tensors(run: Path) -> dict[str, Tensor]:
    """All of an export's tensors under the names that the model has for them."""
    image = load_file(run / "encoder/encoder.safetensors")
    named = {f"image_encoder.model.{name}": value for name, value in image.items()}
    return named | load_file(run / "encoder/slimp.safetensors")


def results(run: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((run / "results.json").read_text())
    return read


def provenance(run: Path) -> dict[str, Any]:
    described: dict[str, Any] = json.loads((run / "encoder/encoder.json").read_text())
    return described["provenance"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "options"),
    [
        ("vit", ["--train", "embeddings"]),
        ("vit", ["--train", "norms", "--ema", "0.9"]),
        ("cnn", ["--train", "embeddings", "--lesions-per-pass", "3"]),
    ],
)
def test_what_is_frozen_is_the_same_to_the_bit(root, tmp_path, run, options):
    done = adapt(root, tmp_path / "run", *options, "--weight-decay", "0.5", run=run)
    assert done.exit_code == 0, done.output
    listed = pd.read_csv(tmp_path / "run/trainable.csv", index_col="name")["learns"]
    before, after = tensors(root / run), tensors(tmp_path / "run")
    assert set(listed.index) <= set(after)
    buffers = set(after) - set(listed.index)
    assert bool(buffers) == (run == "cnn")  # running means, variances, counters
    stays = {name for name in after if name in buffers or not listed[name]}
    for name in stays:
        assert torch.equal(after[name], before[name]), name
        assert after[name].dtype == before[name].dtype
    learned = [name for name in set(after) - stays if "image_encoder" in name]
    assert learned
    assert all(not torch.equal(after[name], before[name]) for name in learned)


@pytest.mark.slow
def test_what_is_copied_and_learns_is_printed_kept_and_named(root, tmp_path):
    done = adapt(root, tmp_path / "run")
    assert done.exit_code == 0, done.output
    columns = pd.read_csv(tmp_path / "run/columns.csv", index_col="column", keep_default_na=False)
    assert columns["start"].to_dict() == {
        "size_mm": "copied", "site": "copied", "itch": "new", "age": "copied", "sex": "copied",
    }  # fmt: skip
    site = columns.loc["site"]
    assert (site["copied_words"], site["new_words"], site["dropped_words"]) == (
        "arm; leg", "scalp", "back",
    )  # fmt: skip
    # Refitted: what is small among the new patients is small.
    size = columns.loc["size_mm"]
    assert float(size["new_median"]) == pytest.approx(float(size["old_median"]) / 10, rel=1e-3)
    schema = json.loads((tmp_path / "run/schema.json").read_text())["columns"]
    assert max(next(item for item in schema if item["name"] == "size_mm")["quantiles"]) < 1
    assert "words: 2 copied, 1 new, 1 dropped" in done.stderr
    assert "image: attention and MLP blocks" in done.stderr
    parent = results(tmp_path / "run")["parent"]
    assert (parent["run"], parent["train"]) == (str(root / "vit"), "embeddings")
    assert parent["seen"] == "unseen"
    assert "projection heads" in parent["trained_groups"]
    config = (tmp_path / "run/config.yaml").read_text()
    assert f"metadata_dim: 8  # run {root / 'vit'}" in config
    described = json.dumps(provenance(tmp_path / "run"))
    assert str(root) not in described


@pytest.mark.slow
def test_a_chain_hands_on_whom_all_have_seen_and_where_they_come_from(root, tmp_path, run_cli):
    """The first one in between has no patient columns, and its patient encoder is not lost."""
    header = SECOND.replace(",age,sex", "")
    rows = [",".join(r.split(",")[:6] + r.split(",")[8:]) for r in second_rows()]
    data = write_second(tmp_path / "a/table.csv", rows, header, seed=8)
    first = adapt(root, tmp_path / "A", "--train", "all", data=data)
    assert first.exit_code == 0, first.output
    assert "patient loss: off (no patient columns: only the lesion loss runs)" in first.stderr
    last = write_second(tmp_path / "b/table.csv", second_rows("r"), seed=9)
    second = adapt(root, tmp_path / "B", run=tmp_path / "A", data=last)
    assert second.exit_code == 0, second.output
    lineage = provenance(tmp_path / "B")["lineage"]
    assert [item["train"] for item in lineage] == ["all", "all"]
    assert [item["data_licence"] for item in lineage] == ["unknown", "unknown"]
    assert second.stderr.count("continues an encoder of SLIMP") == 2
    records = read_seen(tmp_path / "B")
    of_first, of_a = read_seen(root / "vit"), read_seen(tmp_path / "A")
    assert [item.to_json() for item in records[:2]] == [item.to_json() for item in of_a]
    assert of_a[0].to_json() == of_first[0].to_json()
    assert len(records) == 3
    # RUN has trained the patients' blocks, A has left them alone, B keeps them.
    assert provenance(tmp_path / "A")["trained_levels"] == ["lesion", "patient"]
    name = "patient_encoder.transformer.blocks.0.qkv.weight"
    assert torch.equal(tensors(tmp_path / "B")[name], tensors(root / "vit")[name])
    probed = run_cli("probe", "--backbone", tmp_path / "B", "--data", last, "--method", "knn",
                     "--inputs", "image+meta", "--output", tmp_path / "probe")  # fmt: skip
    assert probed.exit_code == 0, probed.output


@pytest.mark.slow
def test_held_out_patients_that_an_ancestor_has_seen_are_refused_or_marked(root, tmp_path):
    rows = [row.replace(",train,", ",test,") for row in table_rows()]
    rows[0:8] = [row.replace(",test,", ",train,") for row in rows[0:8]]
    path = root / "other-splits.csv"
    data = write_table(path, rows)
    refused = adapt(root, tmp_path / "run", data=data)
    assert_bad_input(refused, "was pre-trained on patients or images of", "--allow-seen")
    assert not (tmp_path / "run").exists()
    done = adapt(root, tmp_path / "run", "--allow-seen", data=data)
    assert done.exit_code == 0, done.output
    assert "SEEN IN PRE-TRAINING" in done.stderr
    assert results(tmp_path / "run")["parent"]["seen"] == "seen"
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("held-out patients"))
    assert line.endswith(" SEEN")


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bits_also_when_its_parent_has_moved(
    root, tmp_path, monkeypatch
):
    assert adapt(root, tmp_path / "whole").exit_code == 0
    parent = shutil.copytree(root / "vit", tmp_path / "parent")
    run_killed(lambda: adapt(root, tmp_path / "run", run=parent), monkeypatch, step=1)
    assert not (tmp_path / "run/encoder").exists()
    moved = parent.rename(tmp_path / "moved")
    resume = ["pretrain", "slimp", "--resume", "--output", str(tmp_path / "run")]
    gone = CliRunner().invoke(app, resume, prog_name="toolkit")
    assert_bad_input(gone, f"no run to continue at {tmp_path / 'parent'}")
    other = CliRunner().invoke(app, [*resume, "--from", str(root / "cnn")], prog_name="toolkit")
    assert_bad_input(other, "cannot resume", "changed: encoder (was ")
    done = CliRunner().invoke(app, [*resume, "--from", str(moved)], prog_name="toolkit")
    assert done.exit_code == 0, done.output
    for name in FILES:
        both = [(tmp_path / run / "encoder" / name).read_bytes() for run in ("run", "whole")]
        assert both[0] == both[1]


@pytest.mark.slow
def test_it_works_from_another_folder_on_an_encoder_that_was_sent(root, tmp_path, monkeypatch):
    sent = tmp_path / "post/derm"
    shutil.copytree(root / "vit/encoder", sent)
    monkeypatch.chdir(tmp_path / "post")
    done = adapt(Path(), Path("run"), run="derm", data=f"csv:{root / 'second/table.csv'}")
    assert done.exit_code == 0, done.output
    assert results(tmp_path / "post/run")["parent"]["run"] == str(sent)
    assert adapt(root, tmp_path / "same").exit_code == 0
    for name in FILES:
        both = (sent.parent / "run", tmp_path / "same")
        first, second = ((run / "encoder" / name).read_bytes() for run in both)
        assert first == second


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--backbone", "timm:test_vit"], ["backbone timm:test_vit and from_run", "drop one"]),
        (["--metadata-dim", "16"], ["metadata_dim 16 (--metadata-dim) contradicts the run"]),
        (["--ablation", "attention"], ["phenotype attention (ablation attention) contradicts"]),
        (["--train", "heads"], ["train", "'embeddings', 'norms' or 'all'"]),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(root, tmp_path, options, parts):
    assert_bad_input(adapt(root, tmp_path / "run", *options), *parts)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("place", ["vit", "vit/encoder"])
def test_the_run_that_is_continued_is_not_overwritten(root, tmp_path, place):
    copy = shutil.copytree(root / "vit", tmp_path / "runs/vit")
    done = adapt(tmp_path / "runs", copy, "--overwrite", run=place)
    assert_bad_input(done, f"--output {copy} would overwrite the run that --from")
    assert (copy / "DONE").exists()


@pytest.mark.slow
def test_a_folder_that_holds_the_run_that_is_continued_is_not_overwritten(root, tmp_path):
    copy = shutil.copytree(root / "vit", tmp_path / "runs/vit")
    shutil.copy(copy / "run.json", copy.parent)
    done = adapt(tmp_path / "runs", copy.parent, "--overwrite", run="vit")
    assert_bad_input(done, f"{copy} is nothing that a run writes, so --overwrite will not")
    assert (copy / "DONE").exists()


@pytest.mark.slow
def test_checkpointing_and_pieces_change_nothing_where_little_learns(root, tmp_path):
    norms = ["--train", "norms", "--lr", "1e-3"]
    assert adapt(root, tmp_path / "plain", *norms).exit_code == 0
    saving = ["--grad-checkpointing", "--lesions-per-pass", "3"]
    assert adapt(root, tmp_path / "saving", *norms, *saving).exit_code == 0
    plain, other = tensors(tmp_path / "plain"), tensors(tmp_path / "saving")
    name = "image_encoder.model.blocks.0.norm1.weight"
    assert not torch.equal(plain[name], tensors(root / "vit")[name])
    torch.testing.assert_close(other[name], plain[name], atol=1e-5, rtol=0)


@pytest.mark.slow
def test_simclr_continues_with_nothing_of_the_metadata(root, tmp_path):
    options = ["--ablation", "simclr", "--lesions-per-pass", "3"]
    done = adapt(root, tmp_path / "run", *options)
    assert done.exit_code == 0, done.output
    before, after = tensors(root / "vit"), tensors(tmp_path / "run")
    name = "lesion_encoder.cls"
    assert torch.equal(after[name], before[name])
    assert "project_view.0.weight" in after
    assert "nested loss: off" in done.stderr


@pytest.mark.dist
@pytest.mark.slow
@pytest.mark.parametrize("run", ["vit", "cnn"])
def test_one_and_two_processes_agree(root, tmp_path, run):
    assert adapt(root, tmp_path / "one", "--lr", "1e-4", run=run).exit_code == 0
    run_toolkit("pretrain", "slimp", "--from", root / run, "--output", tmp_path / "two",
                "--epochs", "1", "--data", f"csv:{root / 'second/table.csv'}", "--lr", "1e-4",
                "--patients-per-batch", "4", "--allow-leaks", "size_mm", "--no-report",
                num_processes=2)  # fmt: skip
    one, two = tensors(tmp_path / "one"), tensors(tmp_path / "two")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-5, rtol=0, msg=name)
