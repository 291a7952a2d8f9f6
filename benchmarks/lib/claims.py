"""The claims of Efficient Probing, each as contrasts of what a study has found; of `ep_claims`.

Source: Psomas et al., "Attention, Please! Revisiting Attentive Probing Through the Lens of
Efficiency", ICLR 2026, arXiv 2506.10178, the table of linear -> EP (ImageNet-1k top-1); of the
patches' mean and k-NN the results in the authors' repository. To add a claim: a function that
yields `Claim`s, and its name in `CLAIMS`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lib.evidence import (
    ABSENT,
    FAILS,
    HOLDS,
    OPEN,
    Cell,
    contrast,
    find,
    gain,
    methods_of,
    read_cells,
    read_maps,
    score_of,
)
from lib.verdicts import Claim, not_run, of_all, of_one
from toolkit_probing.results.saved import SavedRow

DIVERSE = "EP is above linear probing over diverse pre-training"
EARLIER = (  # attentive probes before EP
    "abmilp", "simpool", "esimpool", "clip", "siglip", "aim", "cbam", "coca", "cait", "cae",
    "dinovit", "jepa", "dolg", "mhca",
)  # fmt: skip
POOLED = (*EARLIER, "linear", "mean")
RANDOM = "random"  # name of the untrained control
QUERIES = 32  # EP's default, as in the paper
MORE = f"More queries are better up to about {QUERIES}"
ELSEWHERE = "see its own table"  # of studies that were run and are not judged here
FROZEN = "frozen"  # the tuning of an encoder that is not
FEW_MAPS = 8  # queries of EP that are held against the heads of cross-attention


@dataclass(frozen=True)
class Studies:
    """The studies' finished cells by name, and the encoder that was pre-trained by masking."""

    folder: Path
    masked: str

    def cells(self, name: str) -> list[Cell]:
        """Return the finished probe runs of a study."""
        return read_cells(self.folder / name)

    def encoders(self) -> list[str]:
        """Return all encoders that were judged, the masked one first."""
        names = dict.fromkeys(str(cell.values["encoder"]) for cell in self.cells("ep-pretraining"))
        return sorted(names, key=lambda name: (name != self.masked, name == RANDOM, name))


def linear_under_reports(studies: Studies) -> Iterator[Claim]:
    """EP against linear probing and k-NN on the masked encoder."""
    cells, name = studies.cells("ep-pretraining"), studies.masked
    ep = find(cells, name, "ep")
    size = sized(name, ep)
    for method, what, paper in (
        ("linear", "linear probing of the class token", "MAE B/16 67.7 -> 75.6"),
        ("mean", "linear probing of the patches' mean", "MAE B/16 66.8 -> 75.5"),
        ("knn", "k-NN", "MAE B/16 35.6 -> 75.5"),
    ):
        yield of_one(
            f"EP recovers what {what} misses of a masked-image encoder", paper, f"{size}: EP - "
            f"{method}", gain(ep, find(cells, name, method)),
        )  # fmt: skip


def holds_elsewhere(studies: Studies) -> Iterator[Claim]:
    """EP against linear probing on the twins, and on whom it gains more; random weights as well."""
    cells, masked = studies.cells("ep-pretraining"), studies.masked
    mine = find(cells, masked, "ep"), find(cells, masked, "linear")
    if {*studies.encoders()} <= {masked, RANDOM}:
        yield not_run(DIVERSE, "ep-pretraining.yaml with encoders of other objectives")
    for name in studies.encoders()[1:]:
        ep, linear = find(cells, name, "ep"), find(cells, name, "linear")
        if name != RANDOM:
            yield of_one(
                f"EP is above linear probing on a {name} encoder too",
                "DINO 77.3 -> 77.8, DINOv2 83.2 -> 84.0, CLIP L 82.3 -> 83.4",
                f"{sized(name, ep)}: EP - linear", gain(ep, linear),
            )  # fmt: skip
        yield of_one(
            f"EP gains more on a masked-image encoder than on {called(name)}",
            "MAE +7.9, DINO +0.5, DINOv2 +0.8" if name != RANDOM else "no such control",
            f"(EP - linear on {sized(masked, mine[0])}) - (EP - linear on {sized(name, ep)})",
            contrast((1, mine[0]), (-1, mine[1]), (-1, ep), (1, linear)),
        )


def sized(name: str, row: SavedRow) -> str:
    """Return on what a row of EP was judged: encoder, labels, seeds of the head, tokens read."""
    seeds = f"{len(row.row.seeds)} seed{'s' if len(row.row.seeds) > 1 else ''}"
    return f"{name}, {row.row.num_train[0]:,} labels, EP of {seeds} reads {row.row.source}"


def called(name: str) -> str:
    """Return what an encoder is in a sentence."""
    return "random weights" if name == RANDOM else f"a {name} one"


def beats_rivals(studies: Studies) -> Iterator[Claim]:
    """EP against the earlier attentive probes, and all poolings of no more parameters and of more.

    What was not judged is no evidence: a claim is of those that were, and says so.
    """
    cells, name = studies.cells("ep-rivals"), studies.masked
    ep, judged = find(cells, name, "ep"), methods_of(cells, name)
    rivals = {method: find(cells, name, method) for method in POOLED if method in judged}
    gains = {method: gain(ep, rival) for method, rival in rivals.items()}
    earlier = {method: gains[method] for method in EARLIER if method in gains}
    absent = ", ".join(method for method in POOLED if method not in judged)
    left = f" (not run: {absent})" if absent else ""
    paper, size = "figure of accuracy against parameters", sized(name, ep)
    few = f"{len(earlier)} of {len(EARLIER)} earlier attentive probes"
    which = few if len(earlier) < len(EARLIER) else "every earlier attentive probe"
    yield of_all(f"EP is above {which}", paper, f"{size}: EP - each{left}", earlier)
    own = ep.row.num_parameters
    smaller = {method: item for method, item in gains.items()
               if rivals[method].row.num_parameters <= own}  # fmt: skip
    yield of_all(
        "EP is above every judged pooling of as few parameters (it is on their Pareto front)",
        paper, f"{size}: EP ({own:,} parameters) - each of {', '.join(smaller)}{left}", smaller,
    )  # fmt: skip
    larger = {method: item for method, item in gains.items() if method not in smaller}
    most = max((rivals[method].row.num_parameters for method in larger), default=own)
    yield of_all(
        "EP is above every judged pooling of more parameters", paper, f"{size}: EP - each of "
        f"{len(larger)}, which have up to {most / own:.1f} times as many{left}", larger,
    )  # fmt: skip


def queries_matter(studies: Studies) -> Iterator[Claim]:
    """EP with one query, with its default, and with as many as fit."""
    cells, name = studies.cells("ep-queries"), studies.masked
    of_queries = "queries-of-ep", name
    rows = {
        int(saved.row.options["num_queries"]): saved
        for cell in cells
        for saved in cell.run.rows.values()
        if saved.row.method == "ep" and (cell.step, cell.values["encoder"]) == of_queries
    }  # fmt: skip
    one, most = min(rows, default=QUERIES), max(rows, default=QUERIES)
    if QUERIES not in rows or not one < QUERIES < most:  # else a gain of 0 would be evidence
        yield not_run(MORE, f"ep-queries.yaml with {QUERIES} queries, fewer and more")
        return
    early, size = ((1.0, rows[QUERIES]), (-1.0, rows[one])), sized(name, rows[QUERIES])
    yield of_one(
        "More queries are better", "ablation of queries, 1 to 128",
        f"{size}: {QUERIES} queries - {one}", contrast(*early),
    )  # fmt: skip
    yield of_one(
        f"Queries up to {QUERIES} gain more than those beyond", "ablation of queries, 1 to 128",
        f"{size}: (gain of {one} to {QUERIES}) - (gain of {QUERIES} to {most})",
        contrast(*early, (-1.0, rows[most]), (1.0, rows[QUERIES])),
    )  # fmt: skip


def few_labels(studies: Studies) -> Iterator[Claim]:
    """EP against linear probing at every number of labels."""
    cells, name = studies.cells("ep-low-shot"), studies.masked
    for labels in _values(cells, name, "labels"):
        ep, linear = (find(cells, name, method, labels=labels) for method in ("ep", "linear"))
        yield of_one(
            "EP keeps its lead where labels are few", "low-shot experiment",
            f"{name}, {labels}, {len(ep.row.draws)} draws: EP - linear", gain(ep, linear),
        )  # fmt: skip


def layers_differ(studies: Studies) -> Iterator[Claim]:
    """EP against linear probing at every layer, and its best earlier layer against the last."""
    cells, name = studies.cells("ep-layers"), studies.masked
    layers = _values(cells, name, "layer")
    eps = {layer: find(cells, name, "ep", layer=layer) for layer in layers}
    yield of_all(
        "EP is above linear probing at every layer that was judged", "layer-wise experiment",
        f"{sized(name, eps[layers[-1]])}, layers {', '.join(map(str, layers))}: EP - linear",
        {f"layer {layer}": gain(ep, find(cells, name, "linear", layer=layer))
         for layer, ep in eps.items()},
    )  # fmt: skip
    *earlier, last = layers
    title = "An earlier layer is better for EP than the last that was judged"
    if not earlier:
        yield not_run(title, "ep-layers.yaml with several layers")
        return
    best = max(earlier, key=lambda layer: score_of(eps[layer].row))
    yield of_one(
        title, "layer-wise experiment",
        f"{name}: layer {best} ({eps[best].row.selected}, of {', '.join(map(str, earlier))}) - "
        f"layer {last}", gain(eps[best], eps[last]),
    )  # fmt: skip


def queries_specialise(studies: Studies) -> Iterator[Claim]:
    """Overlap of EP's maps against those of the heads of cross-attention."""
    heads = read_maps(studies.folder / "ep-attention", studies.masked)
    by_name = {(head["method"], head["num_queries"]): head["statistics"] for head in heads}
    if not {("ep", FEW_MAPS), ("mhca", FEW_MAPS)} <= set(by_name):
        yield not_run("EP's queries specialise", "ep-attention.yaml")
        return
    ep, other = by_name["ep", FEW_MAPS], by_name["mhca", FEW_MAPS]
    (low, high), (least, most) = ep["overlap"]["ci"], other["overlap"]["ci"]
    yield Claim(
        "EP's queries look at different places, more so than heads of cross-attention",
        "maps are complementary; against cross-attention is our question",
        f"{studies.masked}, {FEW_MAPS} queries: overlap of two maps, EP and MHCA (alike: 1)",
        f"EP {ep['overlap']['mean']:.3f} [{low:.3f}, {high:.3f}], MHCA "
        f"{other['overlap']['mean']:.3f} [{least:.3f}, {most:.3f}]; effective queries "
        f"{ep['effective_queries']['mean']:.2f} and {other['effective_queries']['mean']:.2f}",
        HOLDS if high < least else FAILS if low > most else OPEN,
    )


def tuning_agrees(studies: Studies) -> Iterator[Claim]:
    """EP on the frozen encoder against tuned ones with a linear head, and EP on those."""
    name = studies.masked
    of_tuning: dict[str, list[Cell]] = {}
    for cell in studies.cells("ep-tuning"):
        if cell.values["encoder"] == name:
            of_tuning.setdefault(tuning_of(cell), []).append(cell)
    frozen = of_tuning.pop(FROZEN, [])
    if not frozen or not of_tuning:
        yield not_run("EP helps beside light tuning", "ep-tuning.yaml, frozen and tuned")
        return
    ep, paper = find(frozen, name, "ep"), "comparison with fine-tuning of few parameters"
    tuned = {
        tuning: tuple(find(cells, name, method) for method in ("ep", "linear"))
        for tuning, cells in of_tuning.items()
    }
    size, which = sized(name, ep), ", ".join(tuned)
    yield of_all(
        "EP on the frozen encoder is above a linear head on a tuned one", paper,
        f"{size}: EP, frozen ({ep.row.num_parameters:,} parameters) - linear with {which} (each "
        f"{', '.join(f'{linear.row.num_parameters:,}' for _, linear in tuned.values())})",
        {tuning: gain(ep, linear) for tuning, (_, linear) in tuned.items()},
    )  # fmt: skip
    yield of_all(
        "EP helps beside light tuning", paper, f"{name}: EP - linear, both with {which}",
        {tuning: gain(better, linear) for tuning, (better, linear) in tuned.items()},
    )  # fmt: skip
    yield of_all(
        "Light tuning helps beside EP", paper, f"{name}: EP with {which} - EP, frozen",
        {tuning: gain(better, ep) for tuning, (better, _) in tuned.items()},
    )  # fmt: skip


def tuning_of(cell: Cell) -> str:
    """Return how a cell's encoder was tuned: `frozen`, `LoRA 4`."""
    return " ".join(
        str(cell.values[axis]) for axis in ("tuning", "lora_rank") if axis in cell.values
    )


def _values(cells: Sequence[Cell], encoder: str, name: str) -> list[Any]:
    rows = [saved.row for cell in cells if cell.values["encoder"] == encoder
            for saved in cell.run.rows.values()]  # fmt: skip
    values = {getattr(row, name): min(row.num_train) for row in rows if row.method == "ep"}
    return sorted(values, key=lambda value: value if name == "layer" else values[value])


CLAIMS: Mapping[str, tuple[str, Callable[[Studies], Iterator[Claim]]]] = {  # study, what judges it
    "Linear probing under-reports masked-image encoders": ("ep-pretraining", linear_under_reports),
    DIVERSE: ("ep-pretraining", holds_elsewhere),
    "EP beats every earlier attentive probe": ("ep-rivals", beats_rivals),
    MORE: ("ep-queries", queries_matter),
    "EP keeps its lead where labels are few": ("ep-low-shot", few_labels),
    "EP is above linear probing at every layer": ("ep-layers", layers_differ),
    "EP's queries specialise": ("ep-attention", queries_specialise),
    "EP helps beside light tuning": ("ep-tuning", tuning_agrees),
}
OTHERS = {  # what takes more than is run here: claim -> its study
    "EP is above linear probing on seven benchmarks": "ep-benchmarks",
}


def all_claims(studies: Studies) -> list[Claim]:
    """Return every claim, with what its study has found or that it was not run."""
    rows: list[Claim] = []
    for title, (study, judge) in CLAIMS.items():
        names = sorted({str(cell.values["encoder"]) for cell in studies.cells(study)})
        of_others = f" of {studies.masked}; it has {', '.join(names)}" if names else ""
        is_there = studies.masked in names
        rows += judge(studies) if is_there else [not_run(title, f"{study}.yaml{of_others}")]
    for title, study in OTHERS.items():
        verdict = ELSEWHERE if studies.cells(study) else ABSENT
        rows.append(replace(not_run(title, f"{study}.yaml"), verdict=verdict))
    return rows
