"""Commands by name: which options they take, and what is wrong with a call before it is made.

A command is an entry point of the group `toolkit.commands`, as on the command line; how a run
command makes settings of its options hangs on its function (`toolkit_common.cli.command`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import typer
from typer.main import get_command

from toolkit_common.config import Resolved
from toolkit_common.errors import InputError
from toolkit_common.registry import did_you_mean
from toolkit_common.study.file import written

OWN = ("output", "resume", "overwrite")  # how a cell is carried out is the study's to say
USAGE_ERROR: Any = typer.BadParameter.__base__


@runtime_checkable
class Reads(Protocol):
    """How a run command makes settings of its options."""

    def resolve(self, given: Mapping[str, Any]) -> Resolved[Any]:
        """Return the settings that options (by parameter name) give; refuses what cannot be."""
        ...

    def stored(self, folder: Path) -> Resolved[Any]:
        """Return the settings that a run folder was begun with."""
        ...


@dataclass(frozen=True)
class Command:
    """A command of the command line.

    Attributes:
        name: As it is typed.
        parameters: Option, as a file spells it -> what the command line knows of it.
        reads: How it makes settings; None of a command that is no run.
    """

    name: str
    click: Any
    parameters: Mapping[str, Any]
    reads: Reads | None

    @property
    def makes_folder(self) -> bool:
        """Whether it fills a run folder, which it can resume."""
        return self.reads is not None and "resume" in self.parameters

    @property
    def takes_set(self) -> bool:
        """Whether it takes settings of groups, such as `ep.num_queries`."""
        return "set" in self.parameters

    def words(self, options: Mapping[str, Any]) -> list[str]:
        """Return options as they are typed; one that is null is left to the command's default.

        Raises:
            InputError: If the command has no such option.
        """
        words: list[str] = []
        arguments: dict[str, list[str]] = {}
        for key, value in options.items():
            if key in OWN:
                raise InputError(f"{key} is the study's to say: cells lie in its folder")
            known = self.parameters.get(key.replace("-", "_"))
            if known is None and not (self.takes_set and "." in key):
                hint = did_you_mean(key, self.option_names)
                raise InputError(f"toolkit {self.name} has no option {key!r}{hint}")
            if value is None:
                continue
            if known is None:
                words += ["--set", f"{key}={written(value)}"]
            elif known.param_type_name == "argument":
                arguments[known.name] = [written(item) for item in _listed(value)]
            elif known.is_flag:
                words += [_switch(known, key, value)]
            else:
                several = _listed(value) if known.multiple else [value]
                words += [
                    word for item in several for word in (_longest(known.opts), written(item))
                ]
        order = [item.name for item in self.click.params]
        return words + [
            word for name in sorted(arguments, key=order.index) for word in arguments[name]
        ]

    @property
    def option_names(self) -> list[str]:
        """Its options, as a file spells them."""
        longest = {_longest(item.opts).lstrip("-") for item in self.parameters.values()
                   if not getattr(item, "hidden", False)}  # fmt: skip
        return sorted(
            {name.replace("-", "_") for name in longest} - {*OWN, "config", "set", "json"}
        )

    def check(self, words: Sequence[str]) -> Resolved[Any] | None:
        """Return what a call's words give, without making it.

        Raises:
            InputError: If it would be refused for its options.
        """
        try:
            with self.click.make_context(self.name, list(words)) as context:
                given = dict(context.params)
        except USAGE_ERROR as error:
            raise InputError(" ".join(error.format_message().split()).rstrip(".")) from None
        return None if self.reads is None else self.reads.resolve(given)


@cache
def find_command(name: str) -> Command:
    """Return a command by its words.

    Raises:
        InputError: If no installed package has it.
    """
    points = {point.name: point for point in entry_points(group="toolkit.commands")}
    words = name.split()
    for count in range(len(words), 0, -1):
        if (point := points.get(".".join(words[:count]))) is None:
            continue
        click: Any = get_command(point.load())
        for word in words[count:]:
            click = getattr(click, "commands", {}).get(word)
        if click is None or hasattr(click, "commands"):
            break
        parameters = {
            name.lstrip("-").replace("-", "_"): item
            for item in click.params
            for name in (item.name, *item.opts)
            if name == item.name or not _is_letter(name)
        }
        reads = getattr(click.callback, "reads", None)
        return Command(" ".join(words), click, parameters, reads)
    known = [point.replace(".", " ") for point in points]
    raise InputError(f"unknown command {name!r}{did_you_mean(name, known)}")


def _is_letter(name: str) -> bool:
    """Whether a name is a letter that stands for an option, as `-o`; `--c` is an option's own."""
    return name.startswith("-") and not name.startswith("--")


def _switch(known: Any, key: str, value: Any) -> str:
    if not isinstance(value, bool):
        raise InputError(f"{key} is a switch: true or false, got {value!r}")
    if value:
        return _longest(known.opts)
    if not known.secondary_opts:
        raise InputError(f"{key} can be switched on alone: leave it out")
    return _longest(known.secondary_opts)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _longest(names: Sequence[str]) -> str:
    return max(names, key=len)
