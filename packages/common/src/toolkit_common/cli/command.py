"""Builds a Typer command from a settings class, so that an option is declared in one place.

Every field of the settings becomes an option with its help and default; `--config` and `--set`
reach the same fields and the nested ones; `--json`, `--output`, `--resume`, `--overwrite` and
`--num-processes` say how a run is carried out and are no settings.
"""

import inspect
import json
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial, wraps
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Generic, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from toolkit_common.cli.app import interrupts_first
from toolkit_common.config import (
    RESUMED,
    Invocation,
    Layer,
    Resolved,
    S,
    Settings,
    field_extra,
    parse_assignment,
    read_yaml,
    resolve,
    use_new_names,
)
from toolkit_common.errors import InputError
from toolkit_common.launched import end_with_launcher, in_worker, is_main_process
from toolkit_common.outside import RESUME, OutsideError, failure_of
from toolkit_common.printable import one_line, shell_line
from toolkit_common.runs.locks import locked_folders, unlock_all
from toolkit_common.training.settings import MACHINE

_run_option = partial(typer.Option, rich_help_panel="Run")
RUN_OPTIONS: dict[str, Any] = {
    "output": Annotated[
        Path | None,
        _run_option("--output", "-o", help="Run folder to create.",
                    show_default="the next free runs/NAME-N"),
    ],
    "resume": Annotated[
        bool, _run_option("--resume", help="Continue the run in --output, to the same result.")
    ],
    "overwrite": Annotated[
        bool, _run_option("--overwrite", help="Delete the run folder at --output first.")
    ],
    "num_processes": Annotated[
        int, _run_option("--num-processes", min=1, help="Processes on this machine (one a GPU).")
    ],
    "config": Annotated[Path | None, _run_option("--config", help="YAML file of settings.")],
    "assignments": Annotated[
        list[str] | None,
        _run_option("--set", metavar="KEY=VALUE", help="Any setting, also nested (a.b=c)."),
    ],
    "as_json": Annotated[bool, _run_option("--json", help="Print the result as JSON on stdout.")],
}  # fmt: skip
Presets = tuple[str, Mapping[str, Mapping[str, Any]]]
WIDEST_CHOICES = 60  # characters
FOLDER_OPTIONS = ("output", "resume", "overwrite")
RUN_DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(RUN_OPTIONS), "resume": False, "overwrite": False, "num_processes": 1,
    "as_json": False, "wants_list": False,
}  # fmt: skip


@dataclass(frozen=True)
class ReadsOptions(Generic[S]):
    """How a run command makes settings of what is typed; `run_command` says what its fields are."""

    settings_class: type[S]
    presets: Presets | None = None
    group_names: Callable[[], Collection[str]] = tuple
    check: Callable[[Resolved[S]], Resolved[S]] = lambda resolved: resolved

    def of(self, layers: Sequence[Layer]) -> Resolved[S]:
        """Return what layers give."""
        field, presets = self.presets or ("", None)
        return resolve(
            self.settings_class,
            layers,
            presets=presets,
            preset_field=field,
            group_names=self.group_names,
        )

    def resolve(self, given: Mapping[str, Any]) -> Resolved[S]:
        """Return what options (by parameter name) give, checked and completed.

        Raises:
            InputError: If the command would be refused for them.
        """
        how = {key: given[key] for key in ("config", "assignments") if given.get(key) is not None}
        if "config" in how:
            how["config"] = Path(how["config"])
        known = self.settings_class
        names = {*known.model_fields, *known.gone, *known.renamed}
        fields = {key: value for key, value in given.items() if key in names}
        return self.check(self.of(_layers(self.settings_class, fields, RUN_DEFAULTS | how)))

    def stored(self, folder: Path) -> Resolved[S]:
        """Return the settings that a run folder was begun with, of before in today's names.

        Raises:
            InputError: If its config.yaml cannot be read.
        """
        return self.of([read_yaml(folder / "config.yaml")])


def run_command(
    app: typer.Typer,
    settings_class: type[S],
    *,
    presets: Presets | None = None,
    name: str | None = None,
    has_folder: bool = True,
    listing: Callable[[Invocation[S]], Any] | None = None,
    group_names: Callable[[], Collection[str]] = tuple,
    check: Callable[[Resolved[S]], Resolved[S]] = lambda resolved: resolved,
) -> Callable[[Callable[[Invocation[S]], Any]], Callable[[Invocation[S]], Any]]:
    """Register a function of an `Invocation` as a command of `app`.

    The function prints for humans on stderr and returns a JSON-able result.
    Without a run folder (`has_folder`) there are no `--output`, `--resume` and `--overwrite`.
    With a `listing`, `--list` calls it in the function's place; its docstring is the help.
    `presets` are a setting and the named sets of values that it chooses among; `group_names` is
    that of `resolve`. `check` is for who asks what a call would do without making it (`toolkit
    study`): it refuses what the function would refuse for the settings alone, and completes them as
    it does.
    """
    reads = ReadsOptions(settings_class, presets, group_names, check)
    run_options = {
        key: item for key, item in RUN_OPTIONS.items() if has_folder or key not in FOLDER_OPTIONS
    }
    if listing is not None:
        info = _run_option("--list", help=inspect.getdoc(listing))
        run_options["wants_list"] = Annotated[bool, info]

    def decorate(function: Callable[[Invocation[S]], Any]) -> Callable[[Invocation[S]], Any]:
        def command(**given: Any) -> None:
            # Defaults below, as a command without a run folder lacks some of the options.
            how = RUN_DEFAULTS | {key: given.pop(key) for key in run_options}
            act = listing if listing is not None and how["wants_list"] else function
            resolved = reads.of(_layers(settings_class, given, how))
            _refuse_foreign_code(resolved, how["output"])
            if how["num_processes"] > 1 and not in_worker():
                raise typer.Exit(_relaunch(how["num_processes"]))
            if is_main_process():
                for note in resolved.notes:
                    typer.echo(one_line(f"note: {note}"), err=True)
            call = Invocation(
                resolved,
                output=how["output"],
                resume=how["resume"],
                overwrite=how["overwrite"],
                as_json=how["as_json"],
            )
            _carry_out(act, call)

        command.reads = reads  # type: ignore[attr-defined]  # Typer's wrapper keeps it
        app.command(name, help=inspect.getdoc(function))(
            _signed(command, _parameters(settings_class, run_options))
        )
        return function

    return decorate


def with_settings(settings_class: type[S]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command that is no run an option for every field of the `settings` that it takes."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def command(**given: Any) -> None:
            fields = {key: given.pop(key) for key in settings_class.model_fields}
            function(settings=resolve(settings_class, _option_layers(fields)).settings, **given)

        own = inspect.signature(function).parameters.values()
        command.reads = ReadsOptions(settings_class)  # type: ignore[attr-defined]
        parameters = [
            *(_parameter(item.name, item.annotation, item.default) for item in own
              if item.name != "settings"),
            *(_field_parameter(key, field) for key, field in settings_class.model_fields.items()),
        ]  # fmt: skip
        return _signed(command, parameters)

    return decorate


def _signed(
    command: Callable[..., None], parameters: Sequence[inspect.Parameter]
) -> Callable[..., None]:
    """Let a command of any options look to Typer as if it had these."""
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {item.name: item.annotation for item in parameters}
    return command


def _relaunch(num_processes: int) -> int:
    # After the settings were checked, so that what is wrong with them is said once; workers read
    # the same command line and must not launch again.
    from toolkit_common.training.distributed import relaunch

    return relaunch(num_processes, sys.argv[1:])


def _carry_out(act: Callable[[Invocation[S]], Any], call: Invocation[S]) -> None:
    """Act and print the JSON that is wanted; leave no lock and no process, however it ends."""
    end_with_launcher()
    try:
        with interrupts_first(), _where_it_began(call) as call:
            result = act(call)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(_interrupted(locked_folders())) from error
    except (InputError, typer.Exit):
        raise
    except Exception as error:
        if not call.resume and not locked_folders() and is_main_process():
            _refuse_without_resume(error, call)
        raise
    finally:
        unlock_all()
    if call.as_json and is_main_process():
        typer.echo(json.dumps(result, indent=2, allow_nan=False))


@contextmanager
def _where_it_began(call: Invocation[S]) -> Iterator[Invocation[S]]:
    """Resume a run in the folder that it was started in: its settings name files from there."""
    if not call.resume or call.output is None:
        yield call
        return
    from toolkit_common.runs.folder import RunFolder

    run = RunFolder(call.output.resolve())
    if run.begun_in() == Path.cwd():
        yield call
        return
    resolved = replace(call.resolved, settings=_as_seen_from_here(call.resolved))
    with run.where_it_began():
        yield replace(call, output=run.path, resolved=resolved)


def _as_seen_from_here(resolved: Resolved[S]) -> S:
    """Return the settings with paths in full that this call may give anew, such as --store-dir."""
    fields = type(resolved.settings).model_fields
    own = {
        name: value.absolute()
        for name, value in resolved.settings
        if isinstance(value, Path)
        and not field_extra(fields[name])["affects_result"]
        and resolved.sources[name] != RESUMED
    }
    return resolved.settings.model_copy(update=own)


def _layers(
    settings_class: type[Settings], given: Mapping[str, Any], how: Mapping[str, Any]
) -> list[Layer]:
    """Return where settings come from, later ones winning: run, file, `--set`, options."""
    stored = _stored_layer(settings_class, how["output"]) if how["resume"] else []
    file = [read_yaml(how["config"])] if how["config"] else []
    assigned = [parse_assignment(text) for text in how["assignments"] or ()]
    return [*stored, *file, *assigned, *_option_layers(given)]


def _option_layers(given: Mapping[str, Any]) -> list[Layer]:
    return [
        Layer(f"--{key.replace('_', '-')}", {key: value})
        for key, value in given.items()
        if value is not None
    ]


def _parameters(
    settings_class: type[Settings], run_options: Mapping[str, Any]
) -> list[inspect.Parameter]:
    """Return a parameter for every option, as Typer reads them."""
    # What the machine needs stands behind what is computed; the order within a panel stays.
    fields = sorted(
        settings_class.model_fields.items(),
        key=lambda item: field_extra(item[1])["panel"] == MACHINE,
    )
    parameters = [_field_parameter(key, field) for key, field in fields if not _nested(field)]
    hidden = Annotated[str | None, typer.Option(hidden=True)]  # `resolve` says what became of it
    old = (*settings_class.gone, *settings_class.renamed)
    parameters += [_parameter(key, hidden, None) for key in old]
    return parameters + [
        _parameter(key, annotation, RUN_DEFAULTS[key]) for key, annotation in run_options.items()
    ]


def _interrupted(folders: Sequence[Path]) -> str:
    """Say what an interrupt has left: run folders are locked while they are written."""
    if not folders:
        return "interrupted: no run folder was begun"
    # A process writes one run; those within it are locked later.
    return f"interrupted: go on with {shell_line(['--resume', '--output', str(folders[0])])}"


def _refuse_without_resume(error: Exception, call: Invocation[Any]) -> None:
    """Say what the machine lacks, and not to go on with what has not begun.

    Raises:
        OutsideError: If it is the machine's failure.
    """
    names = [*type(call.settings).model_fields, *RUN_OPTIONS]
    options = {f"--{name.replace('_', '-')}" for name in names} - {RESUME}
    failure = failure_of(error, options=options)
    if failure is not None and not failure.is_users:
        raise OutsideError(failure.message) from error


def _refuse_foreign_code(resolved: Resolved[Any], run: Path | None) -> None:
    """Refuse to run code that the run to resume names, and this call does not."""
    if run is None or resolved.sources.get("backbone") != RESUMED:
        return
    from toolkit_common.backbones.ids import refuse_foreign_code

    refuse_foreign_code(resolved.settings.backbone or "", run / "config.yaml")


def _stored_layer(settings_class: type[Settings], output: Path | None) -> list[Layer]:
    if output is None:
        raise InputError("--resume needs --output: the run folder to continue")
    stored = output / "config.yaml"
    if not stored.exists():
        return []
    # Old names in a run of before are not the user's words: nothing to note.
    return [use_new_names(settings_class, Layer(RESUMED, read_yaml(stored).values))[0]]


def _nested(field: FieldInfo) -> bool:
    kind: Any = field.annotation
    is_group = isinstance(kind, type) and issubclass(kind, BaseModel)
    return is_group or bool(field_extra(field)["holds_groups"])


def _field_parameter(key: str, field: FieldInfo) -> inspect.Parameter:
    extra = field_extra(field)
    name = "--" + key.replace("_", "-")
    flags = [f"{name}/--no-{name[2:]}" if field.annotation is bool else name]
    flags += [extra["flag"]] if extra["flag"] else []
    info = typer.Option(
        *flags,
        help=f"{field.description}{_shown(field.default)}",
        metavar=None if field.annotation is bool else _metavar(field),
        show_default=False,
        rich_help_panel=extra["panel"],
    )
    # All but switches come as text and are read by the fields' types, as from a file.
    kind: Any = bool if field.annotation is bool else str
    return _parameter(key, Annotated[kind | None, info], None)


def _parameter(key: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(key, kind, default=default, annotation=annotation)


def _shown(default: Any) -> str:
    if default is None:
        return ""
    if isinstance(default, bool):
        return f" (default: {'on' if default else 'off'})"
    text = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
    return f" (default: {text})"


def _metavar(field: FieldInfo) -> str:
    kind = field.annotation
    parts = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    choices = [item for part in parts for item in get_args(part) if isinstance(item, str)]
    if choices:
        # A number with limits is `Annotated[int, ...]`.
        takes_number = any(part is int or get_args(part)[:1] == (int,) for part in parts)
        text = "|".join(["INT", *choices] if takes_number else choices)
        # A longer column would break words, and leave no room for what the choices mean.
        return text if len(text) <= WIDEST_CHOICES else "NAME"
    text = str(kind)
    name = "INT" if "int" in text else "FLOAT" if "float" in text else "TEXT"
    name = "PATH" if "Path" in text else name
    return f"{name},..." if "tuple" in text else name
