"""What a method is: where it comes from, what it reads, which options it has, how it is fitted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from toolkit_probing.methods.options import Option, read_options
from toolkit_probing.probes import Pool
from toolkit_probing.results.rows import Outcome
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.context import Context


@dataclass(frozen=True)
class Method:
    """A method of judging an encoder.

    Attributes:
        name: What the user calls it.
        title: What it is.
        source: Who published it, `AUTHORS, YEAR`.
        fit: Judges the requested methods that share it, together, on a frozen encoder.
        is_trained: Whether it trains heads, step by step.
        tuned: The same with an encoder that is trained; None where there is no head to train.
        published: The same with a head from a file (`--head`); None where no format is known.
        pool: Its pooling; None for what reads a vector.
        vector: The one vector that it reads; None for what `--vectors` chooses.
        options: By name.
    """

    name: str
    title: str
    source: str
    fit: "Fit"
    is_trained: bool = False
    tuned: "Fit | None" = None
    published: "Fit | None" = None
    pool: type[Pool] | None = None
    vector: str | None = None
    options: Mapping[str, Option] = field(default_factory=dict)

    @property
    def reads_tokens(self) -> bool:
        """Whether it reads tokens, or a vector."""
        return self.pool is not None

    @property
    def needs_images(self) -> bool:
        """Whether it reads what only an image has: tokens, or one vector of it."""
        return self.reads_tokens or self.vector is not None

    def variants(self, settings: ProbeSettings) -> list[dict[str, Any]]:
        """Return all options of every variant: each combination of the values that are given.

        Raises:
            InputError: If a value is not of its option's kind.
        """
        arguments = read_options(self.name, self.options, settings.options.get(self.name, {}))
        return [
            dict(zip(arguments, values, strict=True)) for values in product(*arguments.values())
        ]

    def named(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options that stand in a variant's name: what differs from its default.

        Those in the pooling's `named_options` always do, as they did before others could be set.
        """
        always = self.pool.named_options if self.pool is not None else ()
        return {
            name: value
            for name, value in options.items()
            if name in always or value != self.options[name].default
        }


Fit = Callable[[Context, Sequence[Method]], list[Outcome]]
