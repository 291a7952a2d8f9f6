"""Tables to paste: cells stay what they are in Markdown and in LaTeX."""

from toolkit_common.pages.paste import latex_table, markdown_table

HEADS, ROWS = ["name", "a & b"], [["x|y_z\n", "50 %"]]


def test_cells_of_markdown_are_escaped_and_figures_stand_on_the_right():
    assert markdown_table(HEADS, ROWS) == (
        "| name | a & b |\n| --- | ---: |\n| x\\|y\\_z\\\\n | 50 % |"
    )
    assert "| --- | --- |" in markdown_table(HEADS, ROWS, num_names=2)


def test_cells_and_heads_of_latex_are_escaped():
    text = latex_table(HEADS, ROWS, caption=r"\textbf{few}")
    assert "\\caption{\\textbf{few}}\n\\begin{tabular}{lr}\n" in text
    assert "name & a \\& b \\\\\n" in text
    assert "x|y\\_z\\textbackslash{}n & 50 \\% \\\\\n" in text
