"""The `toolkit` command: a Typer application whose commands come through entry points.

A package adds a command with an entry point in the group `toolkit.commands` that names a
`typer.Typer`; a dot in the entry point's name makes a group (`pretrain.slimp`). Command modules
import only the standard library, typer and pydantic at module level: torch stays inside commands,
so that `--help` is instant. A command's docstring ends with a section "Examples:", a line each.
"""

import errno
import os
import re
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import EntryPoint, entry_points, version
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command as build_click_command
from typing_extensions import override

from toolkit_common.cli.help import shape_help_
from toolkit_common.errors import InputError
from toolkit_common.launched import EXIT_INTERRUPTED, is_main_process, was_interrupted
from toolkit_common.outside import failure_of
from toolkit_common.printable import one_line, printable, shell_line, shortened
from toolkit_common.registry import did_you_mean

GROUP_HELP = {
    "extrapolate": "Give images the metadata of similar ones.",
    "pretrain": "Pre-train an image encoder.",
}
EXIT_FAILED, EXIT_BAD_INPUT = 1, 2
RANK_PATIENCE_S = 5.0
USAGE_ERROR: Any = typer.BadParameter.__base__  # of click, which typer has within


# Looked for on disk, and needed several times a call.
@cache
def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group="toolkit.commands")}


EMPTY = re.compile(r"--[a-z-]+=")
HOME = re.compile(r"(--[a-z-]+=|)(~.*)", re.DOTALL)
LONGEST = 2000  # characters of an error: values in it are cut long before
# What Python raises for a name that no file can have: of a data set's cells, of options.
NAMED_WRONGLY = (OSError, RuntimeError, ValueError)
WRONG_NAMES = {
    errno.ENAMETOOLONG: "a name is longer than any file's can be",
    errno.ELOOP: "links lead in a circle",
}


class PluginGroup(TyperGroup):
    """Looks its commands up among the installed entry points and imports one on demand.

    `prefix` is the group's own name: the root has none, `pretrain` holds `pretrain.*`.
    """

    prefix = ""

    @override
    def list_commands(self, ctx: Any) -> list[str]:
        own = [name for name in _plugins() if name.startswith(self.prefix)]
        names = {name.removeprefix(self.prefix).split(".")[0] for name in own}
        return sorted({*super().list_commands(ctx), *names})

    @override
    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        if command is None and cmd_name in self.list_commands(ctx):
            # Kept, so that a command is imported once.
            command = self.commands[cmd_name] = self._load(cmd_name)
        if command is not None:
            shape_help_(command)
        return command

    @override
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        names = self.list_commands(ctx)
        if args[0] not in names:
            raise InputError(f"unknown command {args[0]!r}{did_you_mean(args[0], names)}")
        _refuse_unusable(args)
        return super().resolve_command(ctx, list(map(_expand_home, args)))

    @override
    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with _interrupts_told():
            return super().make_context(*args, **kwargs)

    @override
    def invoke(self, ctx: Any) -> Any:
        try:
            with _interrupts_told():
                return super().invoke(ctx)
        except USAGE_ERROR as error:
            if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help
                raise
            message = " ".join(error.format_message().split())
            place = error.ctx.command_path if error.ctx is not None else "toolkit"
            typer.echo(printable(f"error: {message.rstrip('.')}; see {place} --help"), err=True)
            raise typer.Exit(EXIT_BAD_INPUT) from error
        except (typer.Exit, typer.Abort):  # said already, by a group within
            raise
        except Exception as error:
            told = _explain(error, self._options_of(ctx))
            if told is None:
                raise
            typer.echo(shortened(f"error: {_by_rank(told[0])}", LONGEST), err=True)
            raise typer.Exit(told[1]) from error

    def _options_of(self, ctx: Any) -> list[str]:
        """Return the options of the command that is carried out."""
        command = self.get_command(ctx, ctx.invoked_subcommand or "")
        return [option for item in getattr(command, "params", ()) for option in item.opts]

    def _load(self, name: str) -> Any:
        full_name = self.prefix + name
        if full_name not in _plugins():
            group = _build_group(full_name)
            group.name = name
            return group
        try:
            with interrupts_first():
                command = build_click_command(_plugins()[full_name].load())
        except Exception as error:  # a broken plug-in must not take `toolkit --help` down
            command = _broken(full_name, f"{type(error).__name__}: {error}")
        command.name = name
        return command


@contextmanager
def interrupts_first() -> Iterator[None]:
    """Take any error that follows an interrupt of this process for the interrupt.

    A module whose import it cut short is in pieces, so that who imports it again while cleaning up
    fails in any way. Loops that save their state first are not interrupted: they look at a flag.

    Raises:
        KeyboardInterrupt: If so.
    """
    try:
        yield
    except typer.Exit:  # of who knew what happened
        raise
    except Exception as error:
        if not was_interrupted():
            raise
        raise KeyboardInterrupt from error


@contextmanager
def _interrupts_told() -> Iterator[None]:
    """Say that this process was interrupted, and what to do where the interrupt tells.

    Raises:
        Exit: If it was, with code 130.
    """
    try:
        with interrupts_first():
            yield
    except KeyboardInterrupt as error:
        if is_main_process():
            typer.echo(one_line(str(error) or "interrupted"), err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _explain(error: Exception, options: Collection[str]) -> tuple[str, int] | None:
    """Return what went wrong, in one line, and the exit code; None of a fault of ours."""
    if isinstance(error, InputError):
        return str(error), EXIT_BAD_INPUT
    if isinstance(error, NAMED_WRONGLY) and (reason := wrong_name(error)) is not None:
        return reason, EXIT_BAD_INPUT
    failure = failure_of(error, options=options)
    if failure is None:
        return None
    return failure.message, EXIT_BAD_INPUT if failure.is_users else EXIT_FAILED


def wrong_name(error: Exception) -> str | None:
    """Return what is wrong with a name that no file can have; None where it is another fault."""
    if isinstance(error, OSError):
        what = WRONG_NAMES.get(error.errno or 0)
        return None if what is None else f"{what}: {shortened(str(error.filename))}"
    if isinstance(error, UnicodeEncodeError):
        return f"a name that is no UTF-8 text cannot be used here: {shortened(error.object)}"
    text = str(error)
    if "home directory" in text:  # of `~nobody`
        return "a path begins with ~ and a name that no user of this machine has: write it out"
    return "a name of a file holds a NUL character" if "embedded null" in text else None


def _refuse_unusable(words: Sequence[str]) -> None:
    """Refuse words without anything: as a path one would be the current folder.

    So are those with a NUL, which only callers from Python can give: libraries fail on it each in
    their own words.

    Raises:
        InputError: If there is one; the message names its option.
    """
    for before, word in pairwise(words):
        name = before if before.startswith("-") else "an argument"
        if not word or EMPTY.fullmatch(word):
            raise InputError(f"{word.rstrip('=') or name} is empty: give a value, or leave it out")
        if "\0" in word:
            raise InputError(f"{name} holds a NUL character, got {shortened(word)}: leave it out")


def _expand_home(word: str) -> str:
    """Return a word of a command with `~` and `~user` as homes: of `--option=~/x` no shell does.

    Raises:
        RuntimeError: If there is no such user: `wrong_name` says so.
    """
    begun = HOME.fullmatch(word)
    return word if begun is None else f"{begun[1]}{Path(begun[2]).expanduser()}"


def _by_rank(message: str) -> str:
    """Return what is wrong, of any rank but the first with its number."""
    rank = int(os.environ.get("RANK", "0"))
    if rank == 0:
        return message
    # Most fails alike on every rank: the launcher ends this one while it waits, so that the first
    # speaks for all.
    time.sleep(RANK_PATIENCE_S)
    return f"[rank {rank}] {message}"


def plugin_group(name: str) -> type[PluginGroup]:
    """Return the class of a group whose commands may come from any package, as `name.COMMAND`."""

    class SubGroup(PluginGroup):
        prefix = f"{name}."

    return SubGroup


def say_next(*words: str, **options: str | bool | None) -> None:
    """Print the command to go on with, to be copied; on stderr, as stdout is for results.

    Args:
        words: Of it.
        options: Those of this call that it takes too; flags as booleans, None if not given.
    """
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        words += (flag,) if value is True else (flag, value) if value else ()
    typer.echo(f"next: {shell_line(['toolkit', *words])}", err=True)


def _build_group(name: str) -> Any:
    group = typer.Typer(
        cls=plugin_group(name),
        add_completion=False,
        no_args_is_help=True,
        help=GROUP_HELP.get(name),
    )
    # Without a callback Typer drops the name of a single command (docs/traps.md 19).
    group.callback()(lambda: None)
    return build_click_command(group)


def _broken(name: str, reason: str) -> Any:
    broken = typer.Typer(add_completion=False)

    @broken.command(help=f"(not available: {reason})")
    def run() -> None:
        typer.echo(one_line(f"toolkit {name} failed to load: {reason}"), err=True)
        raise typer.Exit(EXIT_FAILED)

    return build_click_command(broken)


app = typer.Typer(
    cls=PluginGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Probe frozen image encoders and pre-train skin-lesion encoders with SLIMP.",
    epilog="toolkit COMMAND --help shows its options, and examples.\n\nExit codes: 0 ok, 1 failed, "
    "2 bad input or configuration, 3 `data audit` found a leak, 130 interrupted.",
)


def _print_version(requested: bool) -> bool:
    if requested:
        try:
            typer.echo(f"toolkit {version('toolkit-common')}")
        except OSError as error:  # nobody above explains what an eager option raises
            typer.echo(f"error: cannot print: {error.strerror}", err=True)
            raise typer.Exit(EXIT_FAILED) from None
        raise typer.Exit
    return requested


@app.callback()
def _root(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    del show_version


def main() -> None:
    """Run the command line, in a process that hears its interrupts (`toolkit_common.__main__`)."""
    try:
        with _interrupts_told():
            _run()
    except typer.Exit as end:  # before Typer began
        raise SystemExit(end.exit_code) from None


def _run() -> None:
    try:
        Path.cwd()
    except OSError:  # libraries would say that they are not installed
        typer.echo("error: the current folder is gone: cd to one that is there", err=True)
        raise SystemExit(EXIT_BAD_INPUT) from None
    # A log file wants lines of one width, and wider ones than the 80 columns of no terminal.
    if not sys.stderr.isatty():
        os.environ.setdefault("COLUMNS", "120")
    app(prog_name="toolkit")
