"""Which words may be classes, and which class counts as what under the sheet's binary label."""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from toolkit_common.data.cells import Numbers, read_numbers
from toolkit_common.data.sheet import BinaryLabel, Sheet
from toolkit_common.errors import InputError

LEFT_OUT = "left out"
UNNAMED = "unnamed"  # no class, or one too rare to be one
MANY_NUMBERS = 20  # distinct whole numbers above which they are a quantity, if they do not count
MANY_FRACTIONS = 4  # distinct numbers, some with a fraction, above which they are one
IMAGES_OF_CODES = 50  # a class: with so many even large numbers are codes
NO_CLASS = "-1"  # among codes: no label, as in torchvision's and Hugging Face's data sets
MARKS = "|;"  # between labels of a row
A_LIST = re.compile(r"[\[({].*,.*[\])}]")


def refuse_no_classes(counts: Mapping[str, int], *, what: str) -> None:
    """Check that the words of a label are classes.

    Args:
        counts: Each word and its number of rows.
        what: The label, for the message.

    Raises:
        InputError: If they are a quantity, or several labels a row.
    """
    if shown := _quantity(counts):
        raise InputError(
            f"{what} is a quantity ({len(counts)} different numbers such as {shown}): regression "
            "is not offered; choose a column of classes with --label, or cut it into named ranges "
            "in the table"
        )
    listed = _several_labels(list(counts))
    if listed:
        raise InputError(
            f"{what} holds several labels a row, such as {listed!r} ({counts[listed]} rows): "
            "multi-label is not offered; choose one column of classes with --label"
        )


def is_no_class(words: Collection[str]) -> bool:
    """Whether -1 among the words of a label says that a row has none: the others count from 0."""
    codes = {word for word in words if word != NO_CLASS}
    return NO_CLASS in words and "0" in codes and all(map(str.isdecimal, codes))


def _quantity(counts: Mapping[str, int]) -> str:
    """Return examples of numbers that are measured; nothing if they are classes."""
    numbers = read_numbers(counts)
    if not isinstance(numbers, Numbers):  # words, no rows
        return ""
    values = sorted({float(number) for number in numbers.spelled.values()})
    whole = all(value.is_integer() for value in values)
    # Classes are counted from 0 or 1, or have many images each, as ages have not.
    are_codes = values in (
        [*map(float, range(len(values)))],
        [*map(float, range(1, len(values) + 1))],
    )
    many_images = sum(counts.values()) >= IMAGES_OF_CODES * len(values)
    if whole and (len(values) <= MANY_NUMBERS or are_codes or many_images):
        return ""
    if not whole and len(values) <= MANY_FRACTIONS:
        return ""
    return ", ".join(f"{value:g}" for value in values[:3])


def _several_labels(words: Sequence[str]) -> str | None:
    """Return a word that lists labels: their parts stand alone, or change places, elsewhere."""
    listed = [word for word in words if A_LIST.fullmatch(word)]
    if listed:
        return listed[0]
    alone = {word.strip() for word in words}
    for mark in MARKS:
        places: defaultdict[str, set[int]] = defaultdict(set)
        parted = {word: [part.strip() for part in word.split(mark)] for word in words
                  if mark in word}  # fmt: skip
        for parts in parted.values():
            for place, part in enumerate(parts):
                places[part].add(place)
        # What always stands in one place is a level of a hierarchy: skin|nevus.
        for word, parts in parted.items():
            if any(part in alone or len(places[part]) > 1 for part in parts if part):
                return word
    return None


def label_map(table: pd.DataFrame, sheet: Sheet) -> dict[str, dict[str, int]]:
    """Return answer -> class -> number of images; empty where there is nothing to map.

    Read from the rows, not from the sheet: it is what happened, whatever file, sheet and options
    had to say. Rows that the binary label leaves out stand under `left out`.
    """
    label, of = sheet.binary.name, sheet.binary.of
    if not {label, of} <= set(table):
        return {}
    # What is missing is counted too, under a name of its own: sums must be those of the rows.
    answers = table[label].astype(object).where(table[label].notna(), LEFT_OUT)
    classes = table[of].astype(object)
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
