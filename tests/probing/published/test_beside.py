"""Published rows beside one's own."""

from dataclasses import replace

import pytest

from helpers.leaderboards import on_imagenet, with_results
from toolkit_probing.published.beside import beside_published, is_beside
from toolkit_probing.published.rows import read_published

OWN = on_imagenet("runs/own", 0.7, "own")
PUBLISHED = read_published()


def test_runs_of_the_same_data_and_protocol_alone_stand_beside_published_rows():
    assert is_beside(OWN, PUBLISHED)
    sizes = {**OWN.results.data.sizes, "test": 49_999}
    fewer = replace(OWN.results.data, sizes=sizes)
    changed = replace(OWN.results.protocol, overridden={"epochs": 1})
    honest = replace(OWN.results.protocol, name="honest")
    tuned = [replace(row, tune="full") for row in OWN.results.rows]
    for fields in ({"data": fewer}, {"protocol": changed}, {"protocol": honest},
                   {"folds": ["fold-0"]}, {"rows": tuned}):  # fmt: skip
        assert not is_beside(with_results(OWN, **fields), PUBLISHED)
        assert beside_published([with_results(OWN, **fields)]) == []


@pytest.mark.slow
def test_a_figure_and_a_table_have_them_all_marked():
    figure, table = beside_published([OWN])
    assert "1 run beside 37 published rows" in figure
    assert table.count("<td>published</td>") == 29
    assert table.count("<td>published*</td>") == 8
    assert table.count("<td>here</td>") == 1
    row = next(line for line in table.split("<tr>") if "<td>here</td>" in line)
    own = OWN.results.rows[2].metrics["top1"]
    assert f"{own.mean:.4f}" in row
    assert PUBLISHED.citation in table


@pytest.mark.slow
def test_of_several_variants_that_stands_which_the_selection_split_prefers():
    *others, ep = OWN.results.rows
    better = replace(ep, name="ep-preferred", select_score=0.9)
    worse = replace(ep, name="ep-other", select_score=0.1,
                    metrics={**ep.metrics, "top1": others[0].metrics["top1"]})  # fmt: skip
    _, table = beside_published([with_results(OWN, rows=[*others, better, worse])])
    row = next(line for line in table.split("<tr>") if "<td>here</td>" in line)
    assert f"{ep.metrics['top1'].mean:.4f}" in row
    assert "own: ep-preferred, of 2 variants the one selected on" in table
