"""A study file: a question, steps of commands over grids of values, and the tables to make of them.

`docs/studies.md` describes it. It is read strictly: whatever is unknown is refused with its line
and the nearest name.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)

from toolkit_common.errors import InputError
from toolkit_common.foreign.plain_yaml import (
    Document,
    Place,
    PlainDumper,
    read_document,
    read_value,
)
from toolkit_common.registry import did_you_mean
from toolkit_common.runs.files import write_text

KEPT = "study.yaml"  # in the folder of a study's runs: the file as it was carried out
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
OVER = ("fold", "split_seed", "seed")  # what a table averages over, unless it says otherwise

Scalar = str | int | float | bool | None


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else (value,) if _is_scalar(value) else value


def _is_scalar(value: Any) -> bool:
    return isinstance(value, Scalar)


def _as_headings(value: Any) -> Any:
    names = _as_tuple(value)
    return {name: name for name in names} if isinstance(names, tuple) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
Scalars = Annotated[tuple[Scalar, ...], BeforeValidator(_as_tuple)]
Headings = Annotated[Mapping[str, str], BeforeValidator(_as_headings)]
Options = Mapping[str, Scalar | list[Scalar]]
Parameter = Scalar | list[Scalar] | Mapping[str, Scalar | Options]  # the last one is for an axis
Grid = Mapping[str, Parameter]
HEADINGS: TypeAdapter[Mapping[str, str]] = TypeAdapter(Headings, config=ConfigDict(strict=True))
PARAMETER: TypeAdapter[Parameter] = TypeAdapter(Parameter, config=ConfigDict(strict=True))


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Step(_Strict):
    """One command over a grid.

    Attributes:
        command: A `toolkit` command, such as `pretrain slimp`.
        needs: Steps whose cells come first; a cell is made for each of theirs that fit together.
        grid: Axis -> values, or name -> the value or the options that it stands for.
        options: Option -> value, in which `{name}` is a parameter, an axis or what a needed step
            gave.
        output: Name of the file that the command writes, of one that makes no run folder.
    """

    command: str
    needs: Names = ()
    grid: Grid = {}
    options: Options = {}
    output: str | None = None


class TableSpec(_Strict):
    """What a table shows of the cells.

    Attributes:
        rows: What names a row: axes, or fields of the results' rows (method, inputs, labels, ...).
        columns: What is spread over columns.
        metrics: Which figures, and how they are headed; `{name}` is a parameter that says so.
        counts: Whole numbers of a row that stand behind its figures, and how they are headed:
            `num_parameters`, `flops`, `num_queries` of attention statistics.
        front: Axes within whose values the rows are marked that no row of as low a first count
            has a better first metric than.
        steps: Of which steps; without it those that no other step needs.
        where: Axis or field -> the values to show.
        test_rows: Column of the test rows -> the values to judge: `{metadata: complete}`.
        over: Axes that are averaged over.
        against: Axis or field -> value: every row's reference is the row with these in their
            place.
        intervals: Over what the 95 % intervals are: `folds` (a t interval, which covers what other
            training patients change), or `patients` (bootstrap over the test patients of all
            folds, encoders and heads as they are). Without it figures have those over folds, and
            differences those over patients where cells have predictions, else over folds.
        leads: What stands first in a row: its figures, or their differences.
        baselines: Axis -> name under which the rows stand that read no image; without it they
            are left out.
        title: Heading.
    """

    rows: Names
    columns: Names = ()
    metrics: Annotated[Headings, Field(min_length=1)]
    counts: Headings = {}
    front: Names | None = None
    steps: Names = ()
    where: Mapping[str, Scalars] = {}
    test_rows: Mapping[str, Scalars] = {}
    over: Names = OVER
    against: Mapping[str, Scalar] = {}
    intervals: Literal["folds", "patients"] | None = None
    leads: Literal["figures", "differences"] = "figures"
    baselines: Mapping[str, str] = {}
    title: str = ""


class StudyFile(_Strict):
    """All of a study file.

    Attributes:
        name: Names the folder of its runs.
        question: What it is to answer.
        parameters: Name -> value; `--set NAME=VALUE` gives another.
        steps: Its commands.
        exclude: Combinations that are left out: axis -> value or values, and `step`.
        table: The table, where it is one.
        tables: Name -> table, where they are several.
    """

    name: str
    question: str
    parameters: Mapping[str, Parameter] = {}
    steps: Annotated[Mapping[str, Step], Field(min_length=1)]
    exclude: list[Mapping[str, Scalars]] = []
    table: TableSpec | None = None
    tables: Mapping[str, TableSpec] = {}


@dataclass(frozen=True)
class Study:
    """A study file with its parameters filled in, and where its parts stand.

    Attributes:
        spec: What it says.
        document: The file.
        parameters: Those of the file, or of `--set`.
    """

    spec: StudyFile
    document: Document
    parameters: Mapping[str, Parameter]

    @cached_property
    def tables(self) -> Mapping[str, TableSpec]:
        """Its tables by name, with the metrics that parameters say."""
        specs = self.spec.tables or ({} if self.spec.table is None else {"": self.spec.table})
        return {name: self._with_metrics(name, spec) for name, spec in specs.items()}

    def _with_metrics(self, name: str, spec: TableSpec) -> TableSpec:
        (first, *_) = spec.metrics
        if not PLACEHOLDER.fullmatch(first):
            return spec
        try:
            metrics = HEADINGS.validate_python(fill_in(first, self.parameters))
        except (InputError, ValidationError) as error:
            why = error if isinstance(error, InputError) else "a name, names, or name: heading"
            raise self.error((*self.place_of(name), "metrics"), f"{first}: {why}") from None
        return spec.model_copy(update={"metrics": metrics})

    def place_of(self, table: str) -> Place:
        """Return where a table stands."""
        return ("tables", table) if table else ("table",)

    def error(self, place: Place, message: str) -> InputError:
        """Return an error that names a place of the file."""
        return InputError(f"{self.document.at(place)}: {message}")

    def keep(self, folder: Path) -> None:
        """Write the file as it was carried out: `toolkit study table FOLDER` reads it."""
        values = {**self.document.values, "parameters": dict(self.parameters)}
        text = yaml.dump(values, Dumper=PlainDumper, sort_keys=False, width=100)
        write_text(folder / KEPT, text)


def read_study(path: Path, assignments: tuple[str, ...] = ()) -> Study:
    """Read a study file, or that which a folder of its runs holds.

    Args:
        path: The file or folder.
        assignments: NAME=VALUE, for parameters.

    Raises:
        InputError: If it is no study file, or a parameter is unknown.
    """
    if path.is_dir():
        path = path / KEPT
    document = read_document(path)
    try:
        spec = StudyFile.model_validate(document.values)
    except ValidationError as error:
        raise InputError(_first_problem(error, document)) from None
    study = Study(spec, document, {**spec.parameters, **_assigned(spec, assignments)})
    _check_names(study)
    _ = study.tables  # refused now where a parameter cannot be their metrics
    return study


def fill_in(value: Any, known: Mapping[str, Any]) -> Any:
    """Replace `{name}` in texts; what is a placeholder alone takes the value as it is.

    Raises:
        InputError: If a name is unknown.
    """
    if isinstance(value, list):
        return [fill_in(item, known) for item in value]
    if not isinstance(value, str):
        return value
    for name in placeholders(value):
        if name not in known:
            raise InputError(f"{{{name}}} is nothing that is known here{did_you_mean(name, known)}")
    if whole := PLACEHOLDER.fullmatch(value):
        return known[whole[1]]
    return PLACEHOLDER.sub(lambda match: written(known[match[1]]), value)


def placeholders(value: Any) -> Iterator[str]:
    """Yield the names that a value has in braces."""
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str):
            yield from PLACEHOLDER.findall(text)


def written(value: Any) -> str:
    """Return a value as a command line has it."""
    if isinstance(value, list):
        return ",".join(map(written, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {written(item)}" for name, item in value.items())
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)


def _assigned(spec: StudyFile, assignments: tuple[str, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InputError(f"--set wants NAME=VALUE, got {text!r}")
        if name not in spec.parameters:
            hint = did_you_mean(name, spec.parameters)
            raise InputError(f"--set {text}: the study has no parameter {name!r}{hint}")
        known = read_value(value, f"--set {name}") if value else ""
        try:
            values[name] = PARAMETER.validate_python(known)
        except ValidationError:
            raise InputError(
                f"--set {text}: a parameter is a value, a list of values, or names with what they "
                "stand for"
            ) from None
    return values


def _check_names(study: Study) -> None:
    """Refuse a name that means two things, or that no folder can have."""
    spec = study.spec
    if not NAME.fullmatch(spec.name):
        raise study.error(("name",), f"letters, digits, - _ and . alone, got {spec.name!r}")
    meanings: dict[str, str] = {}
    named: list[tuple[str, Place]] = [
        *((name, ("parameters", name)) for name in spec.parameters),
        *((name, ("steps", name)) for name in spec.steps),
        *((axis, ("steps", name, "grid", axis)) for name in spec.steps
          for axis in spec.steps[name].grid),
    ]  # fmt: skip
    for name, place in named:
        kind = {"parameters": "a parameter"}.get(str(place[0]), "a step")
        kind = "an axis" if "grid" in place else kind
        if not NAME.fullmatch(name):
            raise study.error(place, f"a name has letters, digits, - _ and . alone, got {name!r}")
        if meanings.setdefault(name, kind) != kind:
            raise study.error(place, f"{name!r} is {meanings[name]} already: give it another name")
    if spec.table is not None and spec.tables:
        raise study.error(("tables",), "give table, or tables where they are several, not both")
    for step in spec.steps:
        file = spec.steps[step].output
        if file is not None and not NAME.fullmatch(file):
            raise study.error(("steps", step, "output"), f"a file's bare name, got {file!r}")


def _first_problem(error: ValidationError, document: Document) -> str:
    # An unknown key first: what is missing then is mostly what was misspelt.
    problems = sorted(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    first = problems[0]
    place = _known(first["loc"], document.values)
    if first["type"] == "extra_forbidden":
        owner = _owner(place[:-1])
        return f"{document.at(place)}: unknown key{did_you_mean(str(place[-1]), owner)}"
    if first["type"] == "missing":
        return f"{document.at(place)}: {first['loc'][-1]} is missing"
    message = first["msg"].removeprefix("Value error, ")
    given = "" if isinstance(first["input"], (dict, list)) else f", got {first['input']!r}"
    return f"{document.at(place)}: {message[0].lower()}{message[1:]}{given}"


def _known(location: tuple[int | str, ...], values: Any) -> Place:
    """Return the part of pydantic's location that are keys of the file, not kinds of a union."""
    place: list[int | str] = []
    there: Any = values
    for key in location:
        is_key = isinstance(there, dict) and key in there
        is_position = isinstance(there, list) and isinstance(key, int) and key < len(there)
        if not (is_key or is_position):
            break
        there = there[key]
        place.append(key)
    return tuple(place)


def _owner(place: Place) -> Mapping[str, Any]:
    """Return the fields of what stands at a place."""
    if place[:1] == ("steps",):
        return Step.model_fields
    return TableSpec.model_fields if place else StudyFile.model_fields
