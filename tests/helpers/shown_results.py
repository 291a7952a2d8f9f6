"""Results made up by hand, with all that makes a table hard to print."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from toolkit_common.scores.metrics import METRICS, Predictions
from toolkit_common.scores.statistics import Difference, Estimate, adjust_holm
from toolkit_probing.protocols import UsedProtocol
from toolkit_probing.reports.recomputed import Recomputed, Report
from toolkit_probing.results.compare import Compared, Comparison
from toolkit_probing.results.contents import Cost, JudgedBackbone, JudgedData, Results
from toolkit_probing.results.rows import Row
from toolkit_probing.results.saved import SavedRow, SavedRun

LONG_ID = "csv:an-archive-of-clinics/lesions-2024.csv"  # 40 characters and more
CLASSES = ("basal cell carcinoma of the trunk", "nevus", "seborrhoeic keratosis, irritated")


def row(name: str, method: str, value: float, *, sd: float | None = None, **more: Any) -> Row:
    """Return a row whose metrics lie around a value."""
    metrics = {
        metric: Estimate(value + at / 100, sd, (value - 0.1, value + 0.1), (value,))
        for at, metric in enumerate(METRICS)
    }
    given: dict[str, Any] = {
        "layer": 12, "source": "cls", "labels": "all labels", "num_train": [333],
        "settings": {"C": [0.003]}, "selected": "selected on val", "picked": "log_loss",
        "select_score": 0.5, "seeds": [0], "draws": [0], "num_parameters": 7686, "flops": 1,
    }  # fmt: skip
    return Row(
        name=name, method=method, metrics=metrics, predictions=f"predictions/{name}.parquet",
        **(given | more),
    )  # fmt: skip


def baselines() -> list[Row]:
    return [
        row(
            f"baseline-{name}", f"{name} baseline", value, layer=0, source="no image",
            inputs="metadata alone", selected="fitted on train", settings={"columns": 21},
        )
        for name, value in (("missingness", 0.4), ("metadata", 0.85))
    ]  # fmt: skip


def plain_rows() -> list[Row]:
    """A method each, as `toolkit probe` has them by default."""
    ep = {"source": "patches", "num_parameters": 1_687_046, "options": {"num_queries": 32},
          "settings": {"num_queries": 32, "lr": 3e-4, "epoch": [2], "C": [0.001]}}  # fmt: skip
    undefined = Estimate(None, None, None, (), why_no_ci="undefined")
    knn = row("knn-layer12-cls", "knn", 0.7, num_parameters=0)
    return [
        row("ep-num_queries32-layer12-patches", "ep", 0.8, **ep),
        row("linear-layer12-cls", "linear", 0.7, seen="seen"),
        Row(**(vars(knn) | {"metrics": dict(knn.metrics) | {"auroc": undefined}})),
    ]


def many_rows() -> list[Row]:
    """Options, layers, amounts of labels and seeds that differ, and one that is tuned."""
    remark = "C 0.0001 is the lowest that was tried: widen the grid (--c)"
    rows = [
        row(
            f"ep-num_queries{queries}-layer{layer}-patches-{shots}shot", "ep",
            0.5 + queries / 100 + layer / 200, sd=0.012, layer=layer, source="patches",
            labels=f"{shots} shots", options={"num_queries": queries}, seeds=[0, 1],
            remarks=[remark],
        )
        for shots in (2, 5)
        for layer in (6, 12)
        for queries in (8, 16)
    ]  # fmt: skip
    return [
        *rows,
        row("linear-layer12-cls-5shot-lora", "linear", 0.6, labels="5 shots", tune="lora"),
    ]


def results(rows: list[Row], *, encoder: str = "imagenet") -> Results:
    return Results(
        protocol=UsedProtocol(name="honest", version=2, source="own", overridden={"epochs": 10}),
        data=JudgedData(
            id=LONG_ID, label="diagnosis", classes=CLASSES, splits="made",
            sizes={"train": 333, "val": 111, "test": 111}, num_test_groups=82,
        ),
        backbone=JudgedBackbone(
            id=f"timm:vit_small_patch16_224?weights=/of/somebody/{encoder}.pth", name=encoder,
            facts={}, card={}, preprocess={}, weights={}, random_weights=False,
        ),
        notes=["a note"],
        features={},
        cost=Cost(seconds=1.0, peak_memory_bytes=1),
        rows=rows,
        baselines=baselines(),
    )  # fmt: skip


def saved(run: Path, one: Row) -> SavedRow:
    targets = np.array([0, 1, 2, 0])
    return SavedRow(
        run, one, np.array(list("abcd")), np.arange(4), [Predictions(np.eye(3)[targets], targets)]
    )


def comparison(runs: Mapping[str, Results], pairs: list[tuple[int, int]]) -> Comparison:
    """Compare rows by their place: the first of the first run, the second of the last."""
    (first, *_), last = runs.items(), list(runs.items())[-1]
    items = []
    for metric in ("auroc", "log_loss"):
        values = [
            Difference(0.8, 0.8 + step, step, (step - 0.02, step + 0.02), p, 1000)
            for step, p in (((1 + i - 2 * j) / 100, 0.002 + 0.01 * i) for i, j in pairs)
        ]
        adjusted = adjust_holm([value.p for value in values])
        items += [
            Compared(
                saved(Path(first[0]), first[1].rows[i]), saved(Path(last[0]), last[1].rows[j]),
                metric, value, p,
            )
            for (i, j), value, p in zip(pairs, values, adjusted, strict=True)
        ]  # fmt: skip
    saved_runs = [SavedRun(Path(path), of) for path, of in runs.items()]
    return Comparison(
        num_images=111, num_groups=82, num_folds=0, compared=items, runs=saved_runs
    )  # fmt: skip


def report(runs: Mapping[str, Results], *, by: str = "", confusion: bool = False) -> Report:
    """Report all rows, and of a column two subgroups."""
    metrics = ["top1", "balanced_accuracy", "macro_f1", "auroc", "expected_calibration_error"]
    counts = [[[10, 1, 2], [3, 20, 4], [5, 6, 30]]]
    parts = [(None, None, 111)] + [(by, value, 50) for value in ("FEMALE", "MALE") if by]
    rows = [
        Recomputed(
            run=Path(path), row=one, column=column, value=value, num_images=count,
            num_groups=count // 2, metrics={name: one.metrics[name] for name in metrics},
            confusion=counts if confusion else None,
        )
        for path, of in runs.items()
        for one in (*of.rows, *of.baselines)
        for column, value, count in parts
    ]  # fmt: skip
    saved_runs = [SavedRun(Path(path), of) for path, of in runs.items()]
    return Report(metrics, [by] if by else [], saved_runs, rows)
