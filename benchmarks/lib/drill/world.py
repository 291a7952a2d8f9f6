"""Where commands run, what they left undisturbed, and whether they leave it again."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lib.drill.commands import STUDY, Places, build_commands, write_lesions
from lib.drill.forked import Forked, fork_cells, nothing, ranks, warm_up
from lib.drill.kept import contents, leftovers


@dataclass(frozen=True)
class Case:
    """Where an attempt takes place.

    Attributes:
        folder: For what is printed.
        at: Where commands write.
        cache: Where they keep token stores.
    """

    folder: Path
    at: Path
    cache: Path

    @property
    def log(self) -> Path:
        """What its commands print."""
        return self.folder / "log"

    @property
    def variables(self) -> dict[str, str]:
        """What its commands have in their environment."""
        secret = self.folder.parent / "secret"
        return {"TOOLKIT_CACHE": str(self.cache), "TOOLKIT_SITE_SECRET": str(secret)}

    def printed(self) -> str:
        """Return what its commands have printed, each process's after the other."""
        logs = sorted(self.folder.glob("log*"))
        return "".join(log.read_text(errors="replace") for log in logs)

    def last_line(self) -> str:
        """Return the last line of it, that of an error if there is one."""
        lines = [line for line in self.printed().splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("error: ")]
        return (errors or lines or ["nothing was printed"])[-1]


@dataclass(frozen=True)
class Undisturbed:
    """What a command leaves when nothing disturbs it, and the seconds that it takes."""

    out: Path
    kept: dict[str, str]
    seconds: float


def save_often() -> None:
    """Let every step leave a state, and a few images a shard: of a fork."""
    from toolkit_common.features import extract
    from toolkit_probing.training import checkpoint
    from toolkit_slimp.training import loop

    extract.SHARD_BYTES = 1 << 12
    checkpoint.SAVE_EVERY_S = loop.SAVE_EVERY_S = 0.0


@dataclass
class World:
    """Data, runs that others need, and the commands.

    Args:
        folder: New, and the drill's own.
    """

    folder: Path
    _undisturbed: dict[tuple[str, int], Undisturbed] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        data, others = (
            write_lesions(self.folder / name, seed=seed, prefix=name)
            for seed, name in enumerate("pq")
        )
        study = self.folder / "study.yaml"
        study.write_text(STUDY.format(data=data), encoding="utf-8")
        at = Places(data, others, study, run=self.folder / "run", probed=self.folder / "probed")
        self.commands = build_commands(at)
        case = self.case()
        needed = {
            at.probed: [*at.probe, "ep,linear,knn,logreg"],
            at.run: [*at.pretrain, "--epochs", "4"],
        }
        warm_up(needed, case.variables)

    def case(self) -> Case:
        """Return an empty place for an attempt."""
        folder = self.folder / f"case-{os.getpid()}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return Case(folder, folder, folder / "cache")

    def out(self, name: str, case: Case) -> Path:
        """Return where a command writes."""
        return case.at / self.commands[name].output

    def words(self, name: str, case: Case) -> list[object]:
        """Return the words that begin a command in a place, or take it up again."""
        command, out = self.commands[name], self.out(name, case)
        again = ["--resume"] if command.resumes and (out / "config.yaml").exists() else []
        return [*command.words, "--output", out, *again]

    def start(
        self, name: str, case: Case, *more: object, first: Callable[[], object] = nothing
    ) -> Forked:
        """Begin a command in a place, or take it up again."""

        def prepare() -> None:
            save_often()
            fork_cells()
            first()

        words = [*self.words(name, case), *more]
        return Forked(words, log=case.log, environment=case.variables, first=prepare)

    def start_ranks(
        self, name: str, case: Case, count: int, *, first: Callable[[], object] = save_often
    ) -> list[Forked]:
        """Begin a command on several processes, or take it up again."""
        words, variables = self.words(name, case), case.variables
        return ranks(words, count, log=case.log, environment=variables, first=first)

    def finish(self, name: str, case: Case, *, count: int = 1) -> str:
        """Carry a command on to its end; returns what is lost, an empty text if nothing is."""
        if lost := self._carry_out(name, case, count):
            return lost
        return self.judge(name, case, count=count)

    def judge(self, name: str, case: Case, *, count: int = 1) -> str:
        """Return what a command that has ended left otherwise than undisturbed."""
        expected, out = self.undisturbed(name, count).kept, self.out(name, case)
        kept = contents(out)
        other = sorted(key for key in {*expected, *kept} if expected.get(key) != kept.get(key))
        if other:
            return f"other than undisturbed: {', '.join(other)}"
        return "".join(f"left over: {path.name}" for path in leftovers(out)[:1])

    def undisturbed(self, name: str, count: int = 1) -> Undisturbed:
        """Return what a command leaves on so many processes, made when first needed.

        Raises:
            RuntimeError: If it fails.
        """
        if (name, count) not in self._undisturbed:
            folder = Path(tempfile.mkdtemp(dir=self.folder))
            case, begin = Case(folder, folder, folder / "cache"), time.monotonic()
            if failed := self._carry_out(name, case, count):
                raise RuntimeError(f"{name} on {count} processes: {failed}")
            seconds, out = time.monotonic() - begin, self.out(name, case)
            self._undisturbed[name, count] = Undisturbed(out, contents(out), seconds)
        return self._undisturbed[name, count]

    def _carry_out(self, name: str, case: Case, count: int) -> str:
        running = self.start_ranks(name, case, count) if count > 1 else [self.start(name, case)]
        codes = [item.wait() for item in running]
        return f"exit codes {codes}: {case.last_line()}" if any(codes) else ""
