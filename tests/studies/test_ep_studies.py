"""The claims of Efficient Probing as studies: each runs through on drawn images and a tiny encoder.

What is drawn: a bright square somewhere on noise, whose colour is the class, and its mask.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from helpers.repository import ROOT
from helpers.tiny_study import InProcess
from toolkit_common.scores import statistics
from toolkit_common.study.commands import find_command
from toolkit_common.study.file import read_study
from toolkit_common.study.grid import expand
from toolkit_common.study.run import run_cells
from toolkit_common.study.state import look_at
from toolkit_common.study.table import Table, build_table
from toolkit_probing.probes import POOLS

pytestmark = pytest.mark.slow

TINY = {"backbone": "timm:test_vit?image_size=64", "random_init": True}
SPLITS = {"train": 8, "val": 4, "test": 6}  # images a class
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0)}
SIZE = 64


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with official splits in `images`, and the masks of all in `masks`."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for split, count in SPLITS.items():
        for name, colour in COLOURS.items():
            for at in range(count):
                pixels = rng.integers(0, 60, (SIZE, SIZE, 3), dtype=np.uint8)
                mask = np.zeros((SIZE, SIZE), np.uint8)
                y, x = rng.integers(0, SIZE // 2, 2)
                place = np.s_[y : y + SIZE // 2, x : x + SIZE // 2]
                pixels[place], mask[place] = colour, 255
                for folder, made in ((f"images/{split}/{name}", pixels), ("masks", mask)):
                    (root / folder).mkdir(parents=True, exist_ok=True)
                    Image.fromarray(made).save(root / folder / f"{split}-{name}-{at}.png")
    return root


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch, pictures: Path) -> None:
    """Most of a small cell's time would be its intervals; all share one store of tokens."""
    monkeypatch.setattr(statistics, "NUM_RESAMPLES", 20)
    monkeypatch.setenv("TOOLKIT_CACHE", str(pictures / "cache"))


def carry_out(name: str, pictures: Path, **parameters: Any) -> Mapping[str, Table]:
    """Run a study on the pictures; returns its tables, in which nothing is missing."""
    values = yaml.safe_load((ROOT / f"studies/{name}.yaml").read_text())
    known = {"data": f"imagefolder:{pictures}/images", "encoders": {"tiny": TINY}, "epochs": 1,
             "seeds": 1, **parameters}  # fmt: skip
    values["parameters"] |= known
    for step in values["steps"].values():
        if step["command"] == "probe":
            step["options"] |= {"report": False, "lr": 0.01, "classifier": "trained"}
    Path("study.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    study = read_study(Path("study.yaml"))
    cells = expand(study, Path("runs"), find_command)
    outcome = run_cells(cells, look_at(cells), Path("runs"), executor=InProcess(), jobs=1)
    assert outcome.failed == {}
    statuses = look_at(cells)
    tables = {each: build_table(study, each, cells, statuses=statuses) for each in study.tables}
    assert not any(table.missing for table in tables.values())
    return tables


def gap_of(table: Table, *key: str) -> float:
    """Return a row's difference in top-1, which has an interval over images."""
    gap = table.figures[key, "top1"].gap
    assert gap is not None, key
    assert (gap.interval_of, table.units, gap.units) == ("patients", "images", 1)
    low, high = gap.interval  # type: ignore[misc]
    assert low <= high
    assert gap.mean is not None
    return gap.mean


def top1(table: Table, *key: str) -> float:
    mean = table.figures[key, "top1"].mean
    assert mean is not None
    return mean


def test_every_benchmark_has_ep_against_linear_probing(pictures: Path) -> None:
    data = f"imagefolder:{pictures}/images"
    table = carry_out(
        "ep-benchmarks", pictures, data={"one": data, "two": f"{data}?range=0,255"},
        methods=["ep", "linear"], seeds=2,
    )[""]  # fmt: skip
    assert {*table.groups} == {
        (name, "tiny", method) for name in ("one", "two") for method in ("ep", "linear")
    }
    for name in ("one", "two"):
        ep, linear = (name, "tiny", "ep"), (name, "tiny", "linear")
        assert gap_of(table, *ep) == pytest.approx(top1(table, *ep) - top1(table, *linear))
        assert table.figures[linear, "top1"].gap is None


def test_every_pre_training_has_ep_against_linear_probing(pictures: Path) -> None:
    table = carry_out(
        "ep-pretraining", pictures,
        encoders={"one": TINY, "no class token": {**TINY, "backbone": "timm:test_resnet"}},
    )[""]  # fmt: skip
    assert {*table.groups} == {
        (encoder, method)
        for encoder in ("one", "no class token")
        for method in ("ep", "knn", "linear", "mean")
    }
    ep = ("one", "ep")
    assert gap_of(table, *ep) == pytest.approx(top1(table, *ep) - top1(table, "one", "linear"))
    gap_of(table, "no class token", "mean")
    assert table.groups[ep].marks == ["RANDOM WEIGHTS"]


def test_every_rival_stands_against_ep_with_its_parameters(pictures: Path) -> None:
    tables = carry_out("ep-rivals", pictures)
    against_ep, against_linear = tables["against-ep"], tables["against-linear"]
    methods = {key[1] for key in against_ep.groups}
    assert methods == {*POOLS, "linear", "mean"}
    for method in methods - {"ep"}:
        gap = top1(against_ep, "tiny", method) - top1(against_ep, "tiny", "ep")
        assert gap_of(against_ep, "tiny", method) == pytest.approx(gap)
    assert gap_of(against_linear, "tiny", "ep") == -gap_of(against_ep, "tiny", "linear")
    sizes = {key: group.count("num_parameters") for key, group in against_ep.groups.items()}
    assert sizes["tiny", "ep"] == 64 * 64 + 32 * 64 + 2 * 64 + 2  # W, the queries, the classifier
    assert_front(against_ep, sizes)


def assert_front(table: Table, sizes: Mapping[tuple[str, ...], int | None]) -> None:
    """The front by its definition: whatever is smaller is worse."""
    points = {key: (size, top1(table, *key)) for key, size in sizes.items() if size}
    for key, (size, mean) in points.items():
        beaten = any(
            other != key and (more > mean or (more == mean and few < size))
            for other, (few, more) in points.items() if few <= size
        )  # fmt: skip
        tied = any(point == (size, mean) for other, point in points.items() if other != key)
        assert tied or (key in table.front) is not beaten, key
    assert table.front


def test_queries_and_widths_stand_against_linear_probing(pictures: Path) -> None:
    tables = carry_out("ep-queries", pictures, queries=[1, 64], widths=[1, 8], queries_of_widths=8)
    queries, widths = tables["queries-of-ep"], tables["widths-of-ep"]
    linear = ("tiny", "linear", "-")
    assert [*queries.groups] == [("tiny", "ep", "1"), ("tiny", "ep", "64"), linear]
    assert [*widths.groups] == [("tiny", "ep", "1"), ("tiny", "ep", "8"), linear]
    for number in ("1", "64"):
        expected = top1(queries, "tiny", "ep", number) - top1(queries, *linear)
        assert gap_of(queries, "tiny", "ep", number) == pytest.approx(expected)
    sizes = [queries.groups["tiny", "ep", number].count("num_parameters") for number in ("1", "64")]
    assert sizes == [64 * 64 + 64 + 130, 64 * 64 + 64 * 64 + 130]
    narrow = widths.groups["tiny", "ep", "8"].count("num_parameters")
    assert narrow == 64 * 8 + 8 * 64 + 2 * 8 + 2


def test_few_labels_are_the_same_for_both_sides(pictures: Path) -> None:
    table = carry_out(
        "ep-low-shot", pictures, methods=["ep", "linear"], shots=[1], shares=[0.5], draws=2
    )[""]
    amounts = {key[1] for key in table.groups}
    assert amounts == {"1 shot", "50 % of labels"}
    for _, labels, method in table.groups:
        if method == "ep":
            expected = top1(table, "tiny", labels, "ep") - top1(table, "tiny", labels, "linear")
            assert gap_of(table, "tiny", labels, "ep") == pytest.approx(expected)


def test_every_layer_has_ep_against_linear_probing(pictures: Path) -> None:
    table = carry_out("ep-layers", pictures)[""]
    layers = list(dict.fromkeys(key[1] for key in table.groups))
    assert layers == ["1", "2", "3", "4", "5", "6"]
    gaps = [gap_of(table, "tiny", layer, "ep") for layer in layers]
    figures = [top1(table, "tiny", at, "ep") - top1(table, "tiny", at, "linear") for at in layers]
    assert gaps == pytest.approx(figures)


def test_tuning_stands_against_a_frozen_encoder(pictures: Path) -> None:
    pytest.importorskip("peft")
    tables = carry_out("ep-tuning", pictures, ranks=[1, 2], tuned_epochs=1)
    frozen, linear = tables["against-frozen"], tables["against-linear"]
    ways = {key[1:3] for key in frozen.groups}
    assert ways == {("frozen", "-"), ("LoRA", "1"), ("LoRA", "2"), ("fully tuned", "-")}
    for tuning, rank in ways:
        ep = ("tiny", tuning, rank, "ep")
        above_frozen = top1(frozen, *ep) - top1(frozen, "tiny", "frozen", "-", "linear")
        assert gap_of(frozen, *ep) == pytest.approx(above_frozen)
        above_linear = top1(frozen, *ep) - top1(frozen, *ep[:3], "linear")
        assert gap_of(linear, *ep) == pytest.approx(above_linear)
    sizes = [frozen.groups["tiny", *way, "ep"].count("num_parameters") for way in
             (("frozen", "-"), ("LoRA", "1"), ("LoRA", "2"), ("fully tuned", "-"))]  # fmt: skip
    assert sizes == sorted(set(sizes))  # type: ignore[type-var]


def test_maps_are_counted_and_held_against_masks(pictures: Path) -> None:
    tables = carry_out(
        "ep-attention", pictures, methods=["ep", "simpool", "linear"], queries=[2, 8],
        masks=str(pictures / "masks"),
    )  # fmt: skip
    maps, localisation = tables["maps"], tables["localisation"]
    keys = [("tiny", "ep", "2"), ("tiny", "ep", "8"), ("tiny", "simpool", "-")]
    assert [*maps.groups] == [*localisation.groups] == keys
    assert [maps.groups[key].count("num_queries") for key in keys] == [2, 8, 1]
    for key in keys:
        entropy = maps.figures[key, "entropy"]
        assert entropy.mean is not None
        assert 0 < entropy.mean <= 1
        assert entropy.interval_of == "own"
        inside = localisation.figures[key, "inside"].mean
        assert inside is not None
        assert 0 < inside < 1
        area = localisation.figures[key, "area"].mean
        assert area == pytest.approx(0.28, abs=0.02)  # a quarter, less what the encoder cuts off
    assert maps.figures[keys[2], "overlap"].mean is None  # of one map
    effective = maps.figures[keys[1], "effective_queries"].mean
    assert effective is not None
    assert 1 <= effective <= 8
    assert maps.groups[keys[0]].marks == ["RANDOM WEIGHTS"]
    gap_of(tables["accuracy"], "tiny", "ep", "8")
