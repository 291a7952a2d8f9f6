"""Which idea of SLIMP carries? Every ablation and control at equal budget, on patients unseen.

    make bench-slimp-ablation
    python benchmarks/slimp_ablation.py --data pad-ufes-20:PATH --label malignant \
        --backbone timm:vit_small_patch16_224 --epochs 100 --runs runs/ablation --resume

For every fold of a patient-disjoint cross-validation `toolkit pretrain slimp` sees the training
patients alone, and `toolkit probe` judges the frozen encoder on the fold's test patients with
logistic regression and k-NN, both picked on validation patients; logistic regression also on image
and metadata features together. What is compared:

- slimp and its ablations (`toolkit_slimp.ablations`; simclr reads no metadata);
- image-only: the encoder that all of them start from, as it is;
- random-init: its untrained twin;
- metadata-only and missingness: logistic regression on lesion and patient metadata, no image
  (`toolkit_common.audit.baselines`).

By default it starts from an ImageNet encoder (tf_efficientnet_lite0 at 64 pixels) on the embedded
lesions. One process a core, each with one thread.
"""

import argparse
import multiprocessing
import os
import re
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from demo import find_weights
from lib.ablation_report import (
    CONDITIONS,
    ENCODERS,
    METADATA,
    OF_PATIENTS,
    PRETRAINED,
    WITHOUT_METADATA,
    Plan,
    Scores,
    draw,
    jsonable,
    notes,
    public,
    row_of,
)
from lib.harness import RESULTS, write_report
from toolkit_common.errors import InputError
from toolkit_common.runs.files import read_json, write_json
from toolkit_probing.results.contents import read_results

RECALL = {"recall": "val_lesion_recall_at_5", "recall_chance": "val_lesion_recall_at_5_chance"}
ARCHITECTURE = "timm:tf_efficientnet_lite0?image_size=64"


def main() -> None:
    """Run what the command line names and write the report."""
    options = parse_options()
    plan = Plan(
        data=options.data,
        label=options.label,
        backbone=options.backbone or f"{ARCHITECTURE}&weights={find_weights()}",
        epochs=options.epochs,
        folds=options.folds,
        settings=tuple(options.set),
        runs=options.runs,
        resume=options.resume,
        most=options.most,
    )
    start = time.perf_counter()
    try:
        conditions = possible(plan, options.only)
        scores = run_all(plan, conditions, num_processes=options.processes)
    except (InputError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    rows = [row_of(name, scores, plan.folds) for name in conditions]
    write_report(
        "slimp-ablation",
        title="What carries SLIMP: ablations and controls",
        rows=rows,
        notes=notes(plan, scores, minutes=(time.perf_counter() - start) / 60),
        figure=draw(scores, plan),
        data={"scores": jsonable(scores), "plan": public(plan)},
    )


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", default="lesions", help="data set with patients and metadata")
    parser.add_argument("--label", default="malignant", help="column that the probes predict")
    parser.add_argument("--backbone", help="encoder to start from (default: ImageNet, small)")
    parser.add_argument("--epochs", type=int, default=30, help="passes over the training patients")
    parser.add_argument(
        "--folds", type=int, default=5, help="parts of the cross-validation, 3 or more"
    )
    parser.add_argument(
        "--most", type=int, help="folds to carry out, the first so many (2 or more)"
    )
    parser.add_argument("--only", type=names, default=CONDITIONS, help="conditions, by comma")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE of pretrain slimp")
    parser.add_argument("--runs", type=Path, default=Path("runs/slimp-ablation"))
    parser.add_argument("--resume", action="store_true", help="take up runs that are there")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of results")
    options = parser.parse_args()
    if options.folds < 3:
        parser.error("--folds must be at least 3: one is for testing, one for validation")
    if options.most is not None and not 2 <= options.most <= options.folds:
        parser.error(f"--most must be 2 to {options.folds}, the folds: got {options.most}")
    return options


def possible(plan: Plan, conditions: Sequence[str]) -> tuple[str, ...]:
    """Leave out what is about patients' metadata where a data set has none; prints which."""
    import numpy as np

    from toolkit_common.sources.load import load_data
    from toolkit_slimp.metadata.infer import infer_schema

    data = load_data(plan.data)
    if infer_schema(data, np.arange(len(data))).at("patient").columns:
        return tuple(conditions)
    left_out = [name for name in conditions if name in OF_PATIENTS]
    if left_out:
        print(f"no patient columns: without {', '.join(left_out)}", file=sys.stderr)
    return tuple(name for name in conditions if name not in OF_PATIENTS)


def names(text: str) -> tuple[str, ...]:
    """Read `--only`."""
    chosen = tuple(text.split(","))
    for name in chosen:
        if name not in CONDITIONS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(CONDITIONS)}")
    return chosen


def run_all(plan: Plan, conditions: Sequence[str], *, num_processes: int) -> dict[str, Scores]:
    """Return every condition's figures, a value for each fold; prints them as they come."""
    tasks = [(name, fold) for fold in plan.judged for name in conditions]
    figures: dict[tuple[str, int], dict[str, float]] = {}
    for (name, fold), scores in judged(plan, tasks, num_processes):
        figures[name, fold] = scores
        line = f"[{len(figures)}/{len(tasks)}] fold {fold}, {name}: AUROC {scores['auroc']:.3f}"
        print(line, file=sys.stderr, flush=True)
    return {
        name: {key: [figures[name, fold][key] for fold in plan.judged] for key in figures[name, 0]}
        for name in conditions
    }


def judged(
    plan: Plan, tasks: Sequence[tuple[str, int]], num_processes: int
) -> Iterator[tuple[tuple[str, int], dict[str, float]]]:
    """Yield tasks with what `judge` says of them, as they end."""
    if num_processes == 1:
        yield from ((task, judge(plan, *task)) for task in tasks)
        return
    context = multiprocessing.get_context("spawn")  # a fork after torch has run may hang
    with ProcessPoolExecutor(num_processes, mp_context=context) as pool:
        waiting = {pool.submit(judge, plan, *task): task for task in tasks}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def judge(plan: Plan, name: str, fold: int) -> dict[str, float]:
    """Carry out one condition on one fold; its output goes to a file in the run's folder."""
    import torch

    torch.set_num_threads(1)
    folder = plan.runs / name / f"fold-{fold}"
    folder.mkdir(parents=True, exist_ok=True)
    if not plan.resume:
        (folder / "cpu_minutes.json").unlink(missing_ok=True)
    with (
        (folder / "log.txt").open("w", encoding="utf-8") as log,
        redirect_stdout(log),
        redirect_stderr(log),
    ):
        if name in METADATA:
            return judge_metadata(plan, METADATA[name], fold)
        return judge_encoder(plan, name, fold, folder)


def judge_metadata(plan: Plan, name: str, fold: int) -> dict[str, float]:
    """Return what a baseline without images reaches; NaN where a data set names no columns."""
    from toolkit_common.audit.baselines import metadata_baselines
    from toolkit_probing.settings import FeatureSettings
    from toolkit_probing.task.task import load_task

    chosen = FeatureSettings(data=plan.data, label=plan.label, folds=plan.folds, fold=fold)
    task = load_task(chosen)
    baselines = metadata_baselines(task.data, task.labels, task.splits)
    figures = {item.name: (item.auroc, item.balanced_accuracy) for item in baselines}
    auroc, balanced_accuracy = figures.get(name, (float("nan"), float("nan")))
    return {"auroc": auroc, "balanced_accuracy": balanced_accuracy}


def judge_encoder(plan: Plan, name: str, fold: int, folder: Path) -> dict[str, float]:
    """Pre-train where the condition does, then probe."""
    split = ["--data", plan.data, "--folds", plan.folds, "--fold", fold]
    encoder: list[Any] = ["--backbone", plan.backbone]
    scores: dict[str, float] = {}
    if name in PRETRAINED:
        more = [word for setting in plan.settings for word in ("--set", setting)]
        options = ["--ablation", PRETRAINED[name], "--epochs", plan.epochs, "--seed", fold]
        where = folder / "pretrain"
        start = time.process_time()
        toolkit(plan, where, "pretrain slimp", *split, *encoder, *options, *more)
        minutes = (time.process_time() - start) / 60
        held_out = read_json(where / "results.json")["held_out"]
        for key, figure in RECALL.items():
            scores[key] = held_out.get(figure, float("nan"))
        scores["cpu_minutes"] = keep_first(folder / "cpu_minutes.json", minutes)
        encoder = ["--backbone", where]
    elif ENCODERS[name]:
        encoder = ["--backbone", without_weights(plan.backbone), "--random-init", "--seed", fold]
    probe = [*split, *encoder, "--label", plan.label, "--store", "memory"]
    toolkit(plan, folder / "probe", "probe", *probe, "--method", "logreg,knn")
    scores["auroc"] = probed(folder / "probe", "logreg", "auroc")
    scores["balanced_accuracy"] = probed(folder / "probe", "logreg", "balanced_accuracy")
    scores["knn_auroc"] = probed(folder / "probe", "knn", "auroc")
    if name in PRETRAINED and name not in WITHOUT_METADATA:
        both = ["--method", "logreg", "--inputs", "image+meta"]
        toolkit(plan, folder / "probe-meta", "probe", *probe, *both)
        scores["auroc_meta"] = probed(folder / "probe-meta", "logreg", "auroc")
    return scores


def probed(folder: Path, method: str, metric: str) -> float:
    """Return a figure of a probe's results, NaN where it is undefined."""
    rows = read_results(folder).rows
    mean = next(row for row in rows if row.method == method).metrics[metric].mean
    return float("nan") if mean is None else float(mean)


def keep_first(path: Path, value: float) -> float:
    """Return what a file holds, or write the value there: a run that is taken up takes no time."""
    if not path.exists():
        write_json(path, value)
    return float(read_json(path))


def toolkit(plan: Plan, output: Path, command: str, *options: object) -> None:
    """Run one `toolkit` command in this process."""
    from toolkit_common.cli.app import app

    how = "--resume" if plan.resume and (output / "config.yaml").exists() else "--overwrite"
    words = [*command.split(), *map(str, options), "--output", str(output), how]
    print(f"$ toolkit {shlex.join(words)}", file=sys.stderr)
    if code := app(words, prog_name="toolkit", standalone_mode=False):
        log = output.parent / "log.txt"
        sys.stderr.flush()
        errors = [line for line in log.read_text().splitlines() if line.startswith("error: ")]
        why = errors[-1].removeprefix("error: ") if errors else f"exit code {code}"
        raise RuntimeError(f"{why} (see {log})")


def without_weights(backbone: str) -> str:
    """Return a backbone id without its weights file."""
    return re.sub(r"[?&]weights=[^&]*$|(?<=[?&])weights=[^&]*&", "", backbone)


if __name__ == "__main__":
    main()
