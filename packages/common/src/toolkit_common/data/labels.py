"""Which class counts as what under the sheet's binary label, as the rows have it."""

from collections.abc import Mapping

from toolkit_common.data.dataset import ImageData
from toolkit_common.data.sheet import BinaryLabel

LEFT_OUT = "left out"
UNNAMED = "unnamed"  # no class, or one too rare to be one


def label_map(data: ImageData) -> dict[str, dict[str, int]]:
    """Return answer -> class -> number of images; empty where there is nothing to map.

    Read from the rows, not from the sheet: it is what happened, whatever file, sheet and options
    had to say. Rows that the binary label leaves out stand under `left out`.
    """
    label, of = data.sheet.binary.name, data.sheet.binary.of
    if not {label, of} <= set(data.table):
        return {}
    # What is missing is counted too, under a name of its own: sums must be those of the rows.
    answers = data.table[label].astype(object).where(data.table[label].notna(), LEFT_OUT)
    classes = data.table[of].astype(object)
    named = classes.where(classes.notna(), UNNAMED)
    counts = named.groupby([answers, named]).size()
    # The positive answer first, what is left out last.
    order = sorted(set(answers), key=lambda answer: (answer == LEFT_OUT, answer != label))
    return {
        str(answer): {str(name): int(count) for name, count in counts[answer].items()}
        for answer in order
    }


def describe_label_map(answers: Mapping[str, Mapping[str, int]], binary: BinaryLabel) -> str:
    """Return a map in one line.

    Args:
        answers: What `label_map` returned, not empty.
        binary: The sheet's; classes that a user may count otherwise are marked.
    """
    mark = binary.either_name
    parts = []
    for answer, classes in answers.items():
        names = ", ".join(
            f"{name} {count:,}" + (f" ({mark})" if name in binary.either else "")
            for name, count in classes.items()
        )
        parts.append(f"{answer} is {names}")
    hint = f"; --{mark}-as counts {mark} ones otherwise" if binary.either else ""
    return f"label map: {'; '.join(parts)}{hint}"
