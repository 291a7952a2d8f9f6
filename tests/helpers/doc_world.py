"""A small world in which the commands of pages run: data, weights and runs by the names they have.

What a page leaves to its reader (`PATH`, `NEW`) lies under that very name in the folder in which
its blocks run. What would take minutes is made small by options behind a command's own, of which
the last one counts.
"""

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

from toolkit_common.sources.lesions import sample
from toolkit_common.synthetic.make import MAKERS, make_data

IMAGE_SIZE = 32
PER_CLASS = 9
LATER = 3  # patients
ENCODER = f"timm:test_vit?image_size={IMAGE_SIZE}"
RANDOM = ("--backbone", ENCODER, "--random-init")
# Pages of runs have tests of their own, and drawing one takes as long as all else that is small.
NO_PAGE = ("--no-report",)
PROBE = ("--epochs", "1", "--lr", "0.01", "--classifier", "trained", "--num-seeds", "1", *NO_PAGE)
FOLDS = ("--folds", "3")
PRETRAIN = ("--epochs", "1", *NO_PAGE)
NEW_MODEL = ("--metadata-dim", "8", "--metadata-heads", "2", "--embed-dim", "8")


def write_world(root: Path) -> Path:
    """Write everything that pages name; the embedded lesions become its small `PATH`."""
    lesions, later = _write_lesions(root / "PATH")
    tables = {"lesions": lesions, "clinic": lesions, "new": later}
    for name, rows in tables.items():
        table = rows.rename(columns={"img_id": "image", "diagnostic": "label"})
        table.assign(image="PATH/images/" + table["image"]).to_csv(
            root / f"{name}.csv", index=False
        )
    odd = lesions.rename(columns={"img_id": "photo", "diagnostic": "finding", "patient_id": "who"})
    odd.assign(photo="PATH/images/" + odd["photo"]).to_csv(root / "odd.csv", index=False)
    for row in lesions.itertuples():
        folder = root / "photos" / str(row.diagnostic)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / "PATH/images" / str(row.img_id), folder)
    (root / "NEW").mkdir()
    for name in later["img_id"]:
        shutil.copy(root / "PATH/images" / name, root / "NEW")
    _write_weights(root)
    return root


def _write_lesions(root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write some images of each class of the embedded sample, small, and rows of most.

    Returns the rows that its table holds, and those of patients who come in later.
    """
    table = pd.read_csv(sample.FOLDER / "metadata.csv", dtype=str)
    kept = table.groupby("diagnostic").head(PER_CLASS)
    is_later = kept["patient_id"].isin(kept["patient_id"].unique()[-LATER:])
    (root / "images").mkdir(parents=True)
    for name in kept["img_id"]:
        with Image.open(sample.FOLDER / "images" / name) as image:
            image.resize((IMAGE_SIZE, IMAGE_SIZE)).save(root / "images" / name)
    kept[~is_later].to_csv(root / "metadata.csv", index=False)
    return kept[~is_later], kept[is_later]


def _write_weights(root: Path) -> None:
    from toolkit_common.backbones.from_timm import timm

    torch.manual_seed(0)
    state = timm.create_model("test_vit", num_classes=5).state_dict()
    save_file(state, root / "checkpoint.safetensors")
    torch.save(state, root / "checkpoint.pth")


def cut(folder: Path) -> None:
    """Leave few of the images that a page's Python has put into `clinic/`."""
    table = pd.read_csv(folder / "metadata.csv", dtype=str).groupby("diagnostic").head(PER_CLASS)
    table.to_csv(folder / "metadata.csv", index=False)
    for path in {*(folder / "images").iterdir()} - {folder / "images" / n for n in table["img_id"]}:
        path.unlink()


def small_study(page: Path, path: Path) -> None:
    """Write the study that a page shows, with less to do."""
    (text,) = re.findall(r"```yaml\n(name: .*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    study = yaml.safe_load(text)
    study["parameters"]["judged"] = [0, 1]
    pretraining, probing = study["steps"]["pretrain"]["options"], study["steps"]["probe"]["options"]
    pretraining |= {"backbone": ENCODER, "random_init": True, "epochs": 1, "metadata_dim": 8}
    probing |= {"epochs": 1, "lr": 0.01, "classifier": "trained"}
    path.write_text(yaml.safe_dump(study, sort_keys=False))


def small(words: Sequence[str], path_of: Callable[[str], str]) -> list[str]:
    """Return a call with little to do: a tiny encoder, an epoch; `READER:PATH` is a made folder."""
    changed = [
        re.sub(r"^([a-z0-9-]+):PATH", lambda found: f"{found[1]}:{path_of(found[1])}", word)
        for word in words
    ]
    is_pretraining, is_probe = changed[:2] == ["pretrain", "slimp"], changed[:1] == ["probe"]
    if not (is_pretraining or is_probe or changed[:1] == ["features"]) or "--list" in changed:
        return changed
    if is_probe:
        changed += (*PROBE, *(FOLDS if "--folds" in changed else ()))
    if is_pretraining:
        changed += PRETRAIN if "--from" in changed else (*PRETRAIN, *NEW_MODEL)
    return changed if "--from" in changed else _with_small_encoder(changed)


def _with_small_encoder(words: list[str]) -> list[str]:
    at = next((place for place, word in enumerate(words) if word in ("--backbone", "-b")), None)
    if at is None:
        return [*words, *RANDOM]
    identifier = words[at + 1]
    if "weights=" in identifier:
        layers = "&layers=3,6" if "layers=" in identifier else ""
        words[at + 1] = f"timm:test_vit?weights=checkpoint.safetensors{layers}"
    elif identifier.startswith("timm:"):
        words[at + 1 : at + 2] = [ENCODER, "--random-init"]
    return words


class Makes:
    """Folders of published data sets, made when they are first read."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, reader: str) -> str:
        """Return the folder of a reader's `PATH`."""
        if reader == "imagefolder":
            return str(self.root / "photos")
        if reader not in MAKERS or reader == "pad-ufes-20":
            return str(self.root / "PATH")
        folder = self.root / "made" / reader
        if not folder.exists():
            make_data(reader, folder, rows=40, seed=0, layout=None, pool=None)
        return str(folder)
