"""The claims of Efficient Probing, each as contrasts of what a study has found; of `ep_claims`.

Source: Psomas et al., "Attention, Please! Revisiting Attentive Probing Through the Lens of
Efficiency", ICLR 2026, arXiv 2506.10178, the table of linear -> EP (ImageNet-1k top-1); of the
patches' mean and k-NN the results in the authors' repository. To add a claim: a function that
yields `Claim`s, and its name in `CLAIMS`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lib.claims import heads, tuning
from lib.claims.evidence import (
    ABSENT,
    MASKED,
    RANDOM,
    Cell,
    Finding,
    Studies,
    contrast,
    find,
    gain,
    methods_of,
    score_of,
    seeded,
    sized,
)
from lib.claims.verdicts import Claim, not_run, of_all, of_one
from toolkit_common.printable import counted
from toolkit_probing.results.saved import SavedRow

DIVERSE = "EP is above linear probing over diverse pre-training"
EARLIER = (  # attentive probes before EP
    "abmilp", "simpool", "clip", "siglip", "aim", "cbam", "coca", "cait", "cae",
    "dinovit", "jepa", "dolg", "mhca",
)  # fmt: skip
POOLED = (*EARLIER, "esimpool", "linear", "mean")  # esimpool is EP's paper's own
FEW = "EP is above linear probing where labels are few"
SEVEN = "EP is above linear probing on seven benchmarks"
PAPER_OF_SEVEN = "above on all seven, of masked-image encoders"
BENCHMARKS = (
    "ImageNet-1k", "CIFAR-100", "Places365", "CUB-200-2011", "FGVC-Aircraft", "Stanford Cars",
    "Food-101",
)  # fmt: skip
BOTH = {"ep", "linear"}
NO_SUCH = "no such encoder there"
OF_KINDS = {  # linear -> EP of the paper, by how encoders' names begin
    "MIM": (("MAE L", 76.0, 79.3), ("SimMIM", 51.5, 65.1)),
    "JEA": (("DINO", 77.3, 77.8), ("DINOv2", 83.2, 84.0)),
    "VLM": (("CLIP L", 82.3, 83.4), ("SigLIP", 84.1, 86.1)),
    "GEN": (("AIMv2", 84.8, 85.9), ("DiT", 32.7, 57.0)),
}
SAME_KIND = {"DINO": "JEA", "SimCLR": "JEA"}
ALL_LABELS = "all labels"


def linear_under_reports(studies: Studies) -> Iterator[Claim]:
    """EP against linear probing and k-NN on the masked encoder."""
    cells, name = studies.cells("ep-pretraining"), studies.masked
    judged = methods_of(cells, name)
    for method, what, paper in (
        ("linear", "linear probing of the class token", "MAE B/16 67.7 -> 75.6"),
        ("mean", "linear probing of the patches' mean", "MAE B/16 66.8 -> 75.5"),
        ("knn", "k-NN", "MAE B/16 35.6, searching an eighth of train, -> 75.5"),
    ):
        claim = f"EP recovers what {what} misses of a masked-image encoder"
        if not {"ep", method} <= judged:
            yield not_run(claim, f"ep-pretraining.yaml of {name} with ep and {method}")
            continue
        ep = find(cells, name, "ep")
        yield of_one(
            claim, paper, f"{sized(name, ep)}: EP - {method}", gain(ep, find(cells, name, method))
        )


def holds_elsewhere(studies: Studies) -> Iterator[Claim]:
    """EP against linear probing on the twins, and on whom it gains more; random weights as well."""
    cells, masked = studies.cells("ep-pretraining"), studies.masked
    names = [name for name in studies.encoders() if methods_of(cells, name) >= BOTH]
    if masked not in names or {*names} <= {masked, *RANDOM}:
        yield not_run(DIVERSE, "ep-pretraining.yaml with encoders of other objectives")
    for name in names:
        ep, linear = find(cells, name, "ep"), find(cells, name, "linear")
        if name not in (masked, *RANDOM):
            yield of_one(
                f"EP is above linear probing on a {name} encoder too", in_paper(name),
                f"{sized(name, ep)}: EP - linear", gain(ep, linear),
            )  # fmt: skip
        if masked not in names or name == masked or name.startswith(MASKED):
            continue  # nothing to hold against, or no contrast
        mine = find(cells, masked, "ep"), find(cells, masked, "linear")
        yield of_one(
            f"EP gains more on a masked-image encoder than on {_called(name)}",
            "no such control" if name in RANDOM else in_paper(name, beside_mae=True),
            f"(EP - linear on {sized(masked, mine[0])}) - (EP - linear on {sized(name, ep)})",
            contrast((1, mine[0]), (-1, mine[1]), (-1, ep), (1, linear)),
        )


def in_paper(name: str, *, beside_mae: bool = False) -> str:
    """Return the paper's figures of encoders of a kind, or their gains beside MAE's."""
    first = name.split()[0]
    figures = OF_KINDS.get(SAME_KIND.get(first, first))
    if figures is None:
        return NO_SUCH
    if beside_mae:
        gains = [f"{what} {ep - linear:+.1f}" for what, linear, ep in figures]
        return ", ".join(["MAE +7.9", *gains])
    return ", ".join(f"{what} {linear} -> {ep}" for what, linear, ep in figures)


def beats_rivals(studies: Studies) -> Iterator[Claim]:
    """EP against the earlier attentive probes, and all poolings of no more parameters and of more.

    What was not judged is no evidence: a claim is of those that were, and says so. "Above each of
    them" needs no correction for how many they are, one chance find does not make it hold; that one
    of many is above EP may be chance, so how many are is said.
    """
    cells, name = studies.cells("ep-rivals"), studies.masked
    ep, gains, left = _rivals(cells, name)
    yield _above_earlier(cells, name, "")
    paper, size = "figure of accuracy against parameters", sized(name, ep)
    own = ep.row.num_parameters
    sizes = {method: find(cells, name, method).row.num_parameters for method in gains}
    smaller = {method: item for method, item in gains.items() if sizes[method] <= own}
    yield of_all(
        "EP is above every judged pooling of as few parameters (it is on their Pareto front)",
        paper, f"{size}: EP ({own:,} parameters) - each of {', '.join(smaller)}{left}", smaller,
    )  # fmt: skip
    larger = {method: item for method, item in gains.items() if method not in smaller}
    most = max((sizes[method] for method in larger), default=own)
    yield of_all(
        "EP is above every judged pooling of more parameters", paper, f"{size}: EP - each of "
        f"{len(larger)}, which have up to {most / own:.1f} times as many{left}", larger,
    )  # fmt: skip
    for other in studies.encoders("ep-rivals"):
        if other != name and "ep" in methods_of(cells, other):
            yield _above_earlier(cells, other, f" on {_called(other, 'encoder')} too")


def _rivals(cells: Sequence[Cell], name: str) -> tuple[SavedRow, dict[str, Finding], str]:
    """Return EP on an encoder, how far it is above each pooling, and what was not run."""
    ep, judged = find(cells, name, "ep"), methods_of(cells, name)
    gains = {method: gain(ep, find(cells, name, method)) for method in POOLED if method in judged}
    absent = ", ".join(method for method in POOLED if method not in judged)
    return ep, gains, f" (not run: {absent})" if absent else ""


def _above_earlier(cells: Sequence[Cell], name: str, where: str) -> Claim:
    ep, gains, left = _rivals(cells, name)
    earlier = {method: gains[method] for method in EARLIER if method in gains}
    few = f"each earlier attentive probe that was judged ({len(earlier)} of {len(EARLIER)})"
    which = few if len(earlier) < len(EARLIER) else "every earlier attentive probe"
    paper = "its figure is of MAE alone" if where else "figure of accuracy against parameters"
    run = f"{sized(name, ep)}: EP - each{left}"
    return of_all(f"EP is above {which}{where}", paper, run, earlier)


def _called(name: str, noun: str = "one") -> str:
    """Return what an encoder is in a sentence."""
    return "random weights" if name in RANDOM else f"a {name} {noun}"


def few_labels(studies: Studies) -> Iterator[Claim]:
    """EP against linear probing, and of its tokens' mean, at every number of labels but all."""
    cells, name = studies.cells("ep-low-shot"), studies.masked
    few = [labels for labels in _values(cells, name, "labels") if labels != ALL_LABELS]
    if not few:
        yield not_run(FEW, "ep-low-shot.yaml with shots, or shares below 1")
        return
    eps = {labels: find(cells, name, "ep", labels=labels) for labels in few}
    which = "; ".join(
        f"{labels} of {counted(len({*ep.row.draws}), 'draw')}, {seeded(ep)}"
        for labels, ep in eps.items()
    )
    for method, what in _vectors(cells, name):
        yield of_all(
            f"EP is above {what} where labels are few", "low-shot experiment",
            f"{name}, {which}: EP - {method}",
            {labels: gain(ep, find(cells, name, method, labels=labels))
             for labels, ep in eps.items()},
        )  # fmt: skip


def layers_differ(studies: Studies) -> Iterator[Claim]:
    """EP against linear probing at every layer, and its best earlier layer against the last."""
    cells, name = studies.cells("ep-layers"), studies.masked
    layers = _values(cells, name, "layer")
    eps = {layer: find(cells, name, "ep", layer=layer) for layer in layers}
    for method, what in _vectors(cells, name):
        yield of_all(
            f"EP is above {what} at every layer that was judged", "layer-wise experiment",
            f"{sized(name, eps[layers[-1]])}, layers {', '.join(map(str, layers))}: EP - {method}",
            {f"layer {layer}": gain(ep, find(cells, name, method, layer=layer))
             for layer, ep in eps.items()},
        )  # fmt: skip
    *earlier, last = layers
    title = "An earlier layer is better for EP than the last that was judged"
    if not earlier:
        yield not_run(title, "ep-layers.yaml with several layers")
        return
    best = max(earlier, key=lambda layer: score_of(eps[layer].row))
    yield of_one(
        title, "layer-wise experiment; this is our question",
        f"{name}: layer {best} ({eps[best].row.selected}, of {', '.join(map(str, earlier))}) - "
        f"layer {last}", gain(eps[best], eps[last]),
    )  # fmt: skip


def _vectors(cells: Sequence[Cell], name: str) -> list[tuple[str, str]]:
    """Return the linear probes that were judged: beside the mean one sees what attention learns."""
    told = {"linear": "linear probing", "mean": "linear probing of the patches' mean"}
    return [(method, what) for method, what in told.items() if method in methods_of(cells, name)]


def holds_on_benchmarks(studies: Studies) -> Iterator[Claim]:
    """EP against linear probing on each benchmark."""
    name = studies.masked
    cells = [cell for cell in studies.cells("ep-benchmarks") if cell.values["encoder"] == name]
    gains = {
        str(cell.values["benchmark"]): gain(find([cell], name, "ep"), find([cell], name, "linear"))
        for cell in cells
    }
    which = f"every benchmark that was judged ({len(gains)} of {len(BENCHMARKS)})"
    yield of_all(
        f"EP is above linear probing on {'all seven' if {*gains} >= {*BENCHMARKS} else which}",
        PAPER_OF_SEVEN, f"{name}, {', '.join(gains)}: EP - linear", gains,
    )  # fmt: skip


def _values(cells: Sequence[Cell], encoder: str, name: str) -> list[Any]:
    rows = [saved.row for cell in cells if cell.values["encoder"] == encoder
            for saved in cell.run.rows.values()]  # fmt: skip
    values = {getattr(row, name): min(row.num_train) for row in rows if row.method == "ep"}
    return sorted(values, key=lambda value: value if name == "layer" else values[value])


CLAIMS: Mapping[str, tuple[str, Callable[[Studies], Iterator[Claim]]]] = {  # study, what judges it
    "Linear probing under-reports masked-image encoders": ("ep-pretraining", linear_under_reports),
    DIVERSE: ("ep-pretraining", holds_elsewhere),
    "EP beats every earlier attentive probe": ("ep-rivals", beats_rivals),
    heads.MORE: ("ep-queries", heads.queries_matter),
    heads.NARROW: ("ep-queries", heads.widths_matter),
    FEW: ("ep-low-shot", few_labels),
    "EP is above linear probing at every layer": ("ep-layers", layers_differ),
    heads.DIFFER: ("ep-attention", heads.queries_specialise),
    heads.OBJECT: ("ep-attention", heads.maps_find_objects),
    tuning.BESIDE: ("ep-tuning", tuning.tuning_agrees),
    SEVEN: ("ep-benchmarks", holds_on_benchmarks),
}
# What judges them reads both probes.
BESIDE_LINEAR = ("ep-low-shot", "ep-layers", "ep-tuning", "ep-benchmarks")


def _on_its_data(claim: Claim, data: str) -> Claim:
    """Return a claim that says what it was run on, where that is not what the encoders were."""
    is_told = data and claim.verdict != ABSENT
    return replace(claim, run=f"on {data}: {claim.run}") if is_told else claim


def all_claims(studies: Studies) -> list[Claim]:
    """Return every claim, with what its study has found or that it was not run."""
    rows: list[Claim] = []
    for title, (study, judge) in CLAIMS.items():
        cells = studies.cells(study)
        names = sorted({str(cell.values["encoder"]) for cell in cells})
        if studies.masked not in names:
            of_others = f" of {studies.masked}; it has {', '.join(names)}" if names else ""
            paper = PAPER_OF_SEVEN if title == SEVEN else "-"
            rows.append(not_run(title, f"{study}.yaml{of_others}", paper=paper))
        elif not methods_of(cells, studies.masked) >= (BOTH if study in BESIDE_LINEAR else {"ep"}):
            beside = " and linear" if study in BESIDE_LINEAR else ""
            rows.append(not_run(title, f"{study}.yaml with ep{beside}"))
        else:
            rows += [_on_its_data(claim, studies.data(study)) for claim in judge(studies)]
    return rows
