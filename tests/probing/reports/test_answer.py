"""What a report leads with."""

from pathlib import Path

import pytest

from toolkit_common.errors import InputError
from toolkit_probing.reports.answer import answer_of, headline
from toolkit_probing.reports.recomputed import Report, build_report


def test_auroc_leads_else_balanced_accuracy_else_the_first():
    def leads(*metrics: str) -> str:
        return headline(Report(metrics, (), (), ()))

    assert leads("top1", "balanced_accuracy", "auroc") == "auroc"
    assert leads("top1", "balanced_accuracy") == "balanced_accuracy"
    assert leads("top1", "log_loss") == "top1"
    with pytest.raises(InputError, match="a page needs a metric besides confusion"):
        leads()


@pytest.mark.slow
def test_the_sentence_is_of_the_rows_that_are_compared(runs: Path):
    answer = answer_of(build_report([runs / "b"], metrics=["top1", "auroc"]))
    assert answer.metric == "auroc"
    assert {item.row.method for item in answer.entries} >= {"linear", "knn"}
    assert answer.differences is not None
    assert "linear" in answer.text.lower()
