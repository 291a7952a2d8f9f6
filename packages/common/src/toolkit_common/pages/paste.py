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


def markdown_table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, num_names: int = 1
) -> str:
    """Return a table; its first columns hold names, the others figures.

    Args:
        heads: Of the columns, as they stand.
        rows: Their cells, which are escaped.
        num_names: Columns of names.
    """
    rule = ["---"] * num_names + ["---:"] * (len(heads) - num_names)
    lines = [heads, rule, *([markdown(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def latex_table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str, num_names: int = 1
) -> str:
    """Return a table of booktabs; heads and cells are escaped, the caption stands as it is."""
    columns = "l" * num_names + "r" * (len(heads) - num_names)
    lines = [
        r"\begin{table}",
        rf"\caption{{{caption}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(map(latex, heads)) + r" \\",
        r"\midrule",
        *(" & ".join(latex(cell) for cell in row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"
