"""Tables to paste: cells stay what they are in Markdown and in LaTeX."""

from toolkit_common.pages.paste import Bold, latex_table, markdown_table

HEADS, ROWS = ["name", "a & b"], [["x|y_z\n", "50 %"]]


def test_cells_of_markdown_are_escaped_and_figures_stand_on_the_right():
    assert markdown_table(HEADS, ROWS, align="lr") == (
        "| name | a & b |\n| --- | ---: |\n| x\\|y\\_z\\\\n | 50 % |"
    )
    assert "| --- | --- |" in markdown_table(HEADS, ROWS, align="ll")


def test_cells_and_heads_of_latex_are_escaped():
    text = latex_table(HEADS, ROWS, caption=r"\textbf{few}", align="lr")
    assert "\\caption{\\textbf{few}}\n\\begin{tabular}{lr}\n" in text
    assert "name & a \\& b \\\\\n" in text
    assert "x|y\\_z\\textbackslash{}n & 50 \\% \\\\\n" in text


def test_what_stands_out_is_bold_and_escaped_in_both():
    rows = [["a", Bold("x_y")]]
    assert "| a | **x\\_y** |" in markdown_table(HEADS, rows, align="lr")
    assert "a & \\textbf{x\\_y} \\\\\n" in latex_table(HEADS, rows, caption="", align="lr")
