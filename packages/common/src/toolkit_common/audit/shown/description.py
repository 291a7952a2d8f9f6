"""A description of a data set in a terminal: whether it can be probed, then what it holds."""

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from toolkit_common.console import Column, print_columns, result_console
from toolkit_common.data.labels import describe_label_map
from toolkit_common.data.sheet import Sheet
from toolkit_common.printable import counted, first_of, one_line

MOST_CLASSES = 20  # in a line
CANNOT = "Cannot be split: "
INCOMPLETE = "Cannot be read whole: "
BY = {"patient_id": " by patient", "lesion_id": " by lesion"}


def describe_verdict(described: dict[str, Any]) -> str:
    """Return whether the data can be probed as they are.

    Args:
        described: What `describe_data` returned.
    """
    problem = described["splits"].get("problem")
    if problem is not None:
        return f"{CANNOT}{problem}"
    if absent := described.get("absent"):
        verb = "is" if absent["count"] == 1 else "are"
        return (
            f"{INCOMPLETE}of {described['images']:,} images {absent['count']:,} {verb} not there "
            f"(first: {absent['first']}); correct names of files, or drop their rows"
        )
    usable = len(described["labels"]) - len(described["label_problems"])
    if usable <= 0:
        return "No label to predict: for pre-training without labels alone"
    return f"Can be probed: {counted(usable, 'label')} to predict"


def fact_lines(described: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is known of rows, groups and patients: a name and its value."""
    if described["source"]:
        doi = f", doi {described['doi']}" if described["doi"] else ""
        yield "source", f"{described['source']}{doi}"
    yield "licence", described["licence"]
    groups = described.get("groups")
    grouped = _describe_groups(groups, described["grouped_by"]) if groups else ""
    yield "images", f"{described['images']:,}{grouped}"
    if patients := described.get("patients"):
        spread = ", ".join(
            f"{count:,} with {lesions}"
            for lesions, count in patients["patients_by_lesions"].items()
        )
        yield "patients", (
            f"{patients['count']:,}, {counted(patients['lesions'], 'lesion')} (patients by "
            "lesions: "
            f"{spread})"
        )  # fmt: skip
    splits = dict(described["splits"])
    origin = splits.pop("origin", None)
    sizes = ", ".join(f"{name} {value}" for name, value in splits.items())
    yield "splits", sizes if origin is None else f"{sizes} ({origin})"


def print_description(described: dict[str, Any], sheet: Sheet) -> None:
    """Print a data set's description for humans."""
    # Words of the user's files are no markup, whatever brackets and colons they hold.
    out = result_console(as_json=False)
    verdict = f"{describe_verdict(described)}: {described['title']} ({described['id']})"
    out.print(Text(one_line(verdict), style="bold"), soft_wrap=True)
    for name, value in fact_lines(described):
        out.print(f"{name}: {one_line(value)}", soft_wrap=True)
    for name, counts in described["labels"].items():
        shown = first_of([f"{value} {count:,}" for value, count in counts.items()], MOST_CLASSES)
        out.print(one_line(f"label {name}: {shown}"), soft_wrap=True)
    for problem in described["label_problems"]:
        out.print(f"no label to predict: {one_line(problem)}", soft_wrap=True)
    if described["label_map"]:
        line = describe_label_map(described["label_map"], sheet.binary)
        out.print(one_line(line), soft_wrap=True)
    if described["columns"]:
        out.print()
        columns = described["columns"].items()
        names = [Column("column", [one_line(name) for name, _ in columns])]
        print_columns(
            out,
            names,
            [
                *(
                    Column(key, [facts[key] for _, facts in columns], justify="left")
                    for key in ("level", "kind")
                ),
                Column("missing", [f"{facts['missing']:.1%}" for _, facts in columns]),
                Column("distinct", [f"{facts['distinct']:,}" for _, facts in columns]),
            ],
        )
        out.print()
    for note in described["notes"]:
        out.print(f"note: {one_line(note)}", soft_wrap=True)


def _describe_groups(groups: dict[str, Any], key: str | None) -> str:
    sizes = groups["images_per_group"]
    each = f"median {sizes['median']:g}, at most {counted(sizes['max'], 'image')} each"
    return f" in {counted(groups['count'], 'group')}{BY.get(key or '', '')} ({each})"
