"""The sentence above a leaderboard: who is first, and from whom that can be told.

Who is first is settled by the test split: that it is better than each of the others is asked of
paired differences, adjusted over the others (Holm).
"""

from collections.abc import Iterator, Sequence

from toolkit_common.printable import first_of
from toolkit_common.scores.metrics import LOWER_IS_BETTER, metric_name
from toolkit_common.scores.statistics import adjust_holm
from toolkit_probing.leaderboard.boards import LEADING, Board
from toolkit_probing.leaderboard.standings import Figure, Standing
from toolkit_probing.reports.entries import Entry, Kind, differences_of
from toolkit_probing.results.names import method_heading

ALPHA = 0.05
MOST_NAMED = 3  # encoders


def say_first(board: Board) -> str:
    """Return who is first of those that were measured here, and from whom that can be told."""
    own = [item for item in board.standings if item.origin == "here" and _is_ranked(item)]
    method = next((name for name in (*LEADING, *board.methods) if name in board.methods), "")
    own = [item for item in own if method in item.figures]
    if not own or own[0].figures[method].value is None:
        return "No trained encoder that has not seen whom it is judged on was measured here."
    first, how = own[0], method_heading(method)
    figure = f"{_shown(first.figures[method])} {metric_name(board.metric)}"
    if len(own) == 1:
        text = f"{first.encoder} reaches {figure} by {how}."
    else:
        text = f"{first.encoder} is first of {len(own)} encoders by {how}: {figure}. "
        text += " ".join(_against(own, board, method))
    return " ".join([text, *_among(first, board, method)])


def entries_of(own: Sequence[Standing], board: Board, method: str = "") -> list[Entry]:
    """Return rows of encoders with their predictions: of a method, else the first of each."""
    entries = []
    for item in own:
        assert item.judged is not None
        row = item.judged.rows.get(method) or next(iter(item.judged.rows.values()))
        run = next(run for run in item.judged.runs if row.name in run.rows)
        kept = {board.metric: row.metrics[board.metric]}
        kind: Kind = "tuned encoder" if row.is_tuned else "probe"
        entries.append(Entry(item.encoder, item.encoder, kind, run.rows[row.name], kept))
    return entries


def _is_ranked(item: Standing) -> bool:
    return not item.is_random and all(figure.seen != "seen" for figure in item.figures.values())


def _against(own: Sequence[Standing], board: Board, method: str) -> Iterator[str]:
    entries = entries_of(own, board, method)
    differences = differences_of(entries, board.metric)
    if differences is None:
        return
    sign = -1.0 if board.metric in LOWER_IS_BETTER else 1.0
    gaps = [differences.of(entries[0], other) for other in entries[1:]
            if other in differences.entries]  # fmt: skip
    others = [item.name for item in entries[1:] if item in differences.entries]
    adjusted = adjust_holm([gap.p for gap in gaps])
    better = [
        name
        for name, gap, p in zip(others, gaps, adjusted, strict=True)
        if p is not None and p < ALPHA and sign * (gap.difference or 0.0) > 0
    ]
    alike = [name for name in others if name not in better]
    if len(better) == len(others):
        yield (
            "It is better than each of the others."
            if len(others) > 1
            else (f"It is better than {others[0]}.")
        )
    elif alike:
        yield f"It cannot be told apart from {_listed(alike)}."


def _among(first: Standing, board: Board, method: str) -> Iterator[str]:
    """Yield where the first would stand among published figures."""
    figures = [item.figures.get(method) for item in board.standings if item.origin == "published"]
    values = [figure.value for figure in figures if figure and figure.value is not None]
    mine = first.figures[method].value
    if values and mine is not None:
        higher = sum(value > mine for value in values)
        yield f"{higher} of {len(values)} published figures are higher."


def _listed(names: Sequence[str]) -> str:
    if len(names) > MOST_NAMED:
        return first_of(names, MOST_NAMED)
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _shown(figure: Figure) -> str:
    interval = "" if figure.interval is None else " [{:.2f}, {:.2f}]".format(*figure.interval)
    return f"{figure.value:.3f}{interval}"
