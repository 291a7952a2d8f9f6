"""Which diagnosis counts as what under the label `malignant`, as the rows have it."""

from collections.abc import Collection, Mapping

from toolkit_common.data.dataset import ImageData

LABEL = "malignant"
LEFT_OUT = "left out"
UNNAMED = "unnamed"  # no diagnosis, or one too rare to be a class


def label_map(data: ImageData) -> dict[str, dict[str, int]]:
    """Return answer -> diagnosis -> number of images; empty where there is nothing to map.

    Read from the rows, not from the sheet: it is what happened, whatever file, sheet and options
    had to say. Rows that `malignant` leaves out stand under `left out`.
    """
    if not {LABEL, "diagnosis"} <= set(data.table):
        return {}
    answers = data.table[LABEL].astype(object).where(data.table[LABEL].notna(), LEFT_OUT)
    diagnoses = data.table["diagnosis"].astype(object)
    named = diagnoses.where(diagnoses.notna(), UNNAMED)
    counts = named.groupby([answers, named]).size()
    order = sorted(set(answers), key=lambda answer: (answer == LEFT_OUT, answer != LABEL))
    return {
        str(answer): {str(name): int(count) for name, count in counts[answer].items()}
        for answer in order
    }


def describe_label_map(
    answers: Mapping[str, Mapping[str, int]], premalignant: Collection[str]
) -> str:
    """Return a map in one line.

    Args:
        answers: What `label_map` returned, not empty.
        premalignant: Diagnoses to be marked: a user may count them otherwise.
    """
    parts = []
    for answer, diagnoses in answers.items():
        names = ", ".join(
            f"{name} {count:,}" + (" (premalignant)" if name in premalignant else "")
            for name, count in diagnoses.items()
        )
        parts.append(f"{answer} is {names}")
    hint = "; --premalignant-as counts premalignant ones otherwise" if premalignant else ""
    return f"label map: {'; '.join(parts)}{hint}"
