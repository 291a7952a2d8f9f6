"""The sentence that answers the question of a run, and what forbids to believe it.

Which rows are compared is settled before any figure of the test split is looked at: the method that
was requested first against linear probing, of several variants the one that the selection split
prefers; of several runs the first against the last, by that method. So that one comparison stands
with its own interval, and `better than every` needs every one of its own: neither is adjusted for
being one of many, which the matrix of all differences is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from toolkit_common.features.finite import EQUAL
from toolkit_common.printable import counted, first_of
from toolkit_common.scores.metrics import LOWER_IS_BETTER, metric_name
from toolkit_common.scores.statistics import Difference, adjust_holm
from toolkit_common.seen.check import EXPLAINED, MARKS
from toolkit_probing.reports.entries import NO_IMAGE, Differences, Entry, preferred
from toolkit_probing.results.names import short_data
from toolkit_probing.results.saved import SavedRun, names_of
from toolkit_probing.task.subsets import ALL

REFERENCE, METADATA, MISSINGNESS = "linear", "metadata baseline", "missingness baseline"
ALPHA = 0.05
MOST_ANSWERS = 3  # of a study's arms that the sentence compares
FEW_IMAGES, FEW_GROUPS, FEW_OF_A_CLASS = 200, 50, 10  # of the test split; our choice
METHOD_NAMES = {  # as people say them in a sentence
    "ep": "EP",
    "linear": "linear probing",
    "cls": "linear probing of the class token",
    "mean": "linear probing of the mean patch",
    "knn": "k-NN",
    "logreg": "logistic regression",
    METADATA: "metadata alone",
}


def claim(
    entries: Sequence[Entry],
    differences: Differences | None,
    metric: str,
    *,
    contrasts: Sequence[tuple[str, str]] = (),
) -> str:
    """Return a few sentences: which of the methods is better, and what reads no image.

    Args:
        entries: Rows, in the order in which methods were requested.
        differences: Of them by the metric.
        metric: Which metric.
        contrasts: Names of runs and of what a study holds each against; without any, methods of
            one run are compared, and of several the first and the last.
    """
    probes = [item for item in entries if item.kind == "probe"]
    if not probes:
        return "No frozen encoder was probed: encoders were tuned, which is not ranked here."
    compared = [item for item in probes if differences and item in differences.entries]
    first, other = _contenders(compared or probes)
    answers = (
        list(_answers(compared, differences, metric=metric, contrasts=contrasts))
        if differences
        else []
    )
    if answers:
        sentences = answers
    elif differences is None or other is None:
        sentences = [f"{_begin(first)} reaches {_figure(first, metric)}."]
    else:
        difference = differences.of(first, other)
        sentences = [_compared(first, other, difference=difference, metric=metric)]
    if first.row.labels != ALL:
        sentences.insert(0, f"With {first.row.labels}:")
    baseline = next((item for item in entries if item.row.method == METADATA), None)
    if differences and baseline and baseline in differences.entries and compared:
        sentences.append(
            _against_baseline(compared, baseline, differences=differences, metric=metric)
        )
    return " ".join(sentences)


def warnings(
    runs: Sequence[SavedRun], entries: Sequence[Entry], missing: Sequence[str] = ()
) -> Iterator[str]:
    """Yield what forbids to believe the sentence, worst first.

    Args:
        runs: The runs.
        entries: Their rows.
        missing: What a study lacks.
    """
    about: dict[str, list[str]] = {}
    for run, name in zip(runs, names_of(runs), strict=True):
        for text in dict.fromkeys(_of_run(run)):
            about.setdefault(text, []).append(name)
    for text, names in about.items():
        # Whom it is about stands behind: an arm may be called as the warning begins.
        yield text if len(names) == len(runs) else f"{text.rstrip('.')} ({first_of(names)})."
    yield from (f"{line}." for line in missing)
    if len({frozenset(item.saved.image_ids) for item in entries}) > 1:
        yield "Rows are of different test images: only those of the first run's are compared."
    yield from _leaks(runs, entries)
    yield from _tiny(entries)


def _of_run(run: SavedRun) -> Iterator[str]:
    if run.results.backbone.random_weights:
        yield "Random weights: the figures judge no trained encoder."
    yield from (f"{note}." for note in run.results.notes if note.startswith(EQUAL))
    for status in dict.fromkeys(row.seen for row in run.results.rows):
        if status in MARKS:
            yield f"{MARKS[status]}: {EXPLAINED[status]}."
    if any(row.selected == "selected on test" for row in run.results.rows):
        yield "Selected on test: choices were made on the images that judge them."
    for head, epoch in run.results.diverged.items():
        yield (
            f"{head} diverged from epoch {epoch} on: its best epoch before is judged, "
            "if it has one."
        )


def _leaks(runs: Sequence[SavedRun], entries: Sequence[Entry]) -> Iterator[str]:
    """Yield whether what reads metadata may have read which of them are missing."""
    data = {run.path: short_data(run.results.data.id) for run in runs}
    for item in entries:
        estimate = item.metrics.get("auroc")
        if item.row.method != MISSINGNESS or not (
            estimate and estimate.ci and estimate.ci[0] > 0.5
        ):
            continue
        whose = data.get(item.saved.run, "")
        # Of other data sets nothing follows for what reads this one's.
        same = [other for other in entries if data.get(other.saved.run, "") == whose]
        of = f" of {whose}" if len(set(data.values())) > 1 else ""
        tells = f"which metadata{of} are missing tells the label ({_figure(item, 'auroc')})"
        if any(other.row.inputs != "image" for other in same if other.kind != NO_IMAGE):
            yield f"A leak: {tells}, and metadata were read."
        elif any(other.row.method == METADATA for other in same):
            yield f"Metadata alone may owe a part to a leak: {tells}."


def _tiny(entries: Sequence[Entry]) -> Iterator[str]:
    if not entries:
        return
    saved = entries[0].saved
    targets, groups = saved.predictions[0].targets, len(set(saved.groups.tolist()))
    counts = [int((targets == at).sum()) for at in range(saved.predictions[0].num_classes)]
    few = []
    if len(targets) < FEW_IMAGES:
        few.append(counted(len(targets), "test image"))
    if groups < FEW_GROUPS and groups < len(targets):
        few.append(counted(groups, "group"))
    if min(counts) < FEW_OF_A_CLASS:
        few.append(f"{counted(min(counts), 'image')} of the rarest class")
    if few:
        yield f"Tiny: {', '.join(few)}. Another draw of patients may turn the order round."


def _contenders(probes: Sequence[Entry]) -> tuple[Entry, Entry | None]:
    """Return whom the sentence is about, and whom against."""
    runs = list(dict.fromkeys(item.run for item in probes))
    mine = [item for item in probes if item.run == runs[0]]
    first = _chosen(mine, mine[0].row.method)
    rivals = [item for item in probes if item.run == runs[-1] and len(runs) > 1]
    if any(item.row.method == first.row.method for item in rivals):
        return first, _chosen(rivals, first.row.method)
    others = list(dict.fromkeys(item.row.method for item in mine))
    others.remove(first.row.method)
    if others:
        return first, _chosen(mine, REFERENCE if REFERENCE in others else others[0])
    return first, next((item for item in probes if item is not first), None)


def _answers(
    probes: Sequence[Entry],
    differences: Differences,
    *,
    metric: str,
    contrasts: Sequence[tuple[str, str]],
) -> Iterator[str]:
    """Yield how each arm of a study stands against its control, p adjusted over the arms (Holm)."""
    pairs = []
    for names in contrasts:
        sides = [[item for item in probes if item.run == name] for name in names]
        methods = [item.row.method for item in sides[0]]
        shared = [name for name in methods if name in {item.row.method for item in sides[1]}]
        if shared:
            one, other = (_chosen([item for item in side if item.row.method == shared[0]],
                                  shared[0]) for side in sides)  # fmt: skip
            pairs.append((one, other))
    adjusted = adjust_holm([differences.of(*pair).p for pair in pairs])
    for at, ((one, other), p) in enumerate(zip(pairs[:MOST_ANSWERS], adjusted, strict=False)):
        says_how = at == 0 or one.row.method != pairs[at - 1][0].row.method
        difference = replace(differences.of(one, other), p=p)
        arms = [replace(item, name=item.run) for item in (one, other)]
        text = _compared(*arms, difference=difference, metric=metric)
        told = f"By {METHOD_NAMES.get(one.row.method, one.row.method)}, " if says_how else ""
        yield f"{told}{text}"
    if len(pairs) > MOST_ANSWERS:
        yield f"{len(pairs) - MOST_ANSWERS} more stand against their control below."


def _chosen(entries: Sequence[Entry], method: str) -> Entry:
    return preferred([item for item in entries if item.row.method == method])


def _compared(first: Entry, other: Entry, *, difference: Difference, metric: str) -> str:
    name = metric_name(metric)
    if difference.difference is None:
        return (
            f"{_begin(first)} and {_called(other)} cannot be compared: {name} is undefined for "
            f"{_called(first if first.value(metric) is None else other)}."
        )
    if difference.ci is None:
        return (
            f"{_begin(first)} lies {difference.difference:+.3f} {name} from {_called(other)}, "
            f"without an interval ({difference.why_no_ci}): nothing follows."
        )
    if not _is_sure(difference):
        return (
            f"{_begin(first)} and {_called(other)} cannot be told apart: "
            "{:+.3f} {} [{:+.3f}, {:+.3f}].".format(difference.difference, name, *difference.ci)
        )
    winner, loser = (first, other) if _gain(difference, metric) > 0 else (other, first)
    low, high = sorted(map(abs, difference.ci))
    size = f"{abs(difference.difference):.3f} {name} [{low:.3f}, {high:.3f}]"
    return f"{_begin(winner)} beats {_called(loser)} by {size}."


def _against_baseline(
    probes: Sequence[Entry], baseline: Entry, *, differences: Differences, metric: str
) -> str:
    ahead = [differences.of(item, baseline) for item in probes]
    figure = _figure(baseline, metric)
    each = "every image probe" if len(probes) > 1 else _called(probes[0])
    if all(_is_sure(value) and _gain(value, metric) < 0 for value in ahead):
        return f"Metadata alone are better than {each}: {figure}."
    if all(_is_sure(value) and _gain(value, metric) > 0 for value in ahead):
        return f"{each[:1].upper()}{each[1:]} is better than metadata alone ({figure})."
    return f"Metadata alone, without any image, reach {figure}."


def _is_sure(difference: Difference) -> bool:
    """Whether a difference can be told from none, by its interval and its p-value alike."""
    if difference.ci is None or difference.p is None:
        return False
    return difference.p < ALPHA and not difference.ci[0] <= 0.0 <= difference.ci[1]


def _gain(difference: Difference, metric: str) -> float:
    value = difference.difference or 0.0
    return -value if metric in LOWER_IS_BETTER else value


def _figure(entry: Entry, metric: str) -> str:
    value, ci, name = entry.value(metric), entry.metrics[metric].ci, metric_name(metric)
    if value is None:
        return f"no {name} (undefined)"
    interval = "" if ci is None else f" [{ci[0]:.2f}, {ci[1]:.2f}]"
    return f"{value:.2f} {name}{interval}"


def _called(entry: Entry) -> str:
    """Return what people call an entry, with what tells it from its method's other variants."""
    method = entry.row.method
    rest = entry.name.removeprefix(method)
    return f"{METHOD_NAMES.get(method, method)}{rest}" if entry.name != rest else entry.name


def _begin(entry: Entry) -> str:
    name = _called(entry)
    # What a study calls an arm stays as it is written there.
    is_given = name.startswith("k-NN") or entry.name == entry.run
    return name if is_given else f"{name[:1].upper()}{name[1:]}"
