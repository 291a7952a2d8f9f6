"""Tables to paste: Markdown and LaTeX, text from data escaped."""

from collections.abc import Iterable, Sequence

from toolkit_common.printable import markdown, one_line

LATEX = str.maketrans(
    {
        **{char: f"\\{char}" for char in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\u00b7": r"$\cdot$",
        "\u00b1": r"$\pm$",
    }
)


def latex(text: str) -> str:
    """Return a text that LaTeX shows as it is."""
    return one_line(text).translate(LATEX)


class Bold(str):
    """A cell that stands out."""

    __slots__ = ()


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, align: str) -> str:
    """Return a table; heads and cells are escaped.

    Args:
        heads: Of the columns.
        rows: Their cells.
        align: A letter a column: l of words, r of figures.
    """
    rule = [{"l": "---", "r": "---:"}[side] for side in align]
    shown = [
        [f"**{markdown(cell)}**" if isinstance(cell, Bold) else markdown(cell) for cell in row]
        for row in rows
    ]
    lines = [[markdown(head) for head in heads], rule, *shown]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def latex_table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str, align: str
) -> str:
    """Return a table of booktabs; heads and cells are escaped, the caption stands as it is.

    Args:
        heads: Of the columns.
        rows: Their cells.
        caption: Of the table.
        align: A letter a column: l of words, r of figures.
    """
    shown = [
        [rf"\textbf{{{latex(cell)}}}" if isinstance(cell, Bold) else latex(cell) for cell in row]
        for row in rows
    ]
    lines = [
        r"\begin{table}",
        rf"\caption{{{caption}}}",
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
        " & ".join(map(latex, heads)) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in shown),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"
