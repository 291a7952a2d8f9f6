"""A settings class becomes a command: each field an option, each value with its source."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from typer.testing import CliRunner, Result

from conftest import assert_bad_input
from toolkit_common.cli.app import PluginGroup
from toolkit_common.cli.command import run_command, with_settings
from toolkit_common.config import Invocation, PositiveFloats, Settings, field_extra, option
from toolkit_common.runs.locks import lock_folder
from toolkit_probing.settings import ProbeSettings
from toolkit_slimp.settings import SlimpSettings


class Example(Settings):
    protocol: Literal["honest", "paper"] = option("honest", "Preset.")
    lr: PositiveFloats = option((0.001, 0.01), "Learning rates.", panel="Training")
    epochs: int = option(90, "Passes.", flag="-e", ge=1)
    dry: bool = option(False, "Do nothing.")
    num_workers: int = option(0, "Processes.", affects_result=False)


Run = Callable[..., tuple[Result, list[Invocation[Example]]]]


@pytest.fixture
def run() -> Run:
    """Run `toolkit example ARGS`; return the result and the invocations it led to."""
    calls: list[Invocation[Example]] = []
    app = typer.Typer(cls=PluginGroup)
    app.callback()(lambda: None)

    presets = {"honest": {}, "paper": {"epochs": 100}}

    @run_command(app, Example, presets=("protocol", presets), name="example")
    def example(invocation: Invocation[Example]) -> Any:
        """Say what would be computed."""
        calls.append(invocation)
        typer.echo("for humans", err=True)
        return {"epochs": invocation.settings.epochs}

    def call(*args: object) -> tuple[Result, list[Invocation[Example]]]:
        return CliRunner().invoke(app, ["example", *map(str, args)]), calls

    return call


def given(invocation: Invocation[Example]) -> dict[str, str]:
    sources = invocation.resolved.sources
    return {key: source for key, source in sources.items() if source != "default"}


def test_without_options_every_setting_is_its_default(run: Run) -> None:
    result, calls = run()
    assert result.exit_code == 0
    assert calls[0].settings == Example()
    assert given(calls[0]) == {}
    assert (calls[0].output, calls[0].resume, calls[0].overwrite) == (None, False, False)


def test_defaults_then_preset_then_file_then_set_then_options(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("protocol: paper\nlr: 1e-3\ndry: true\nnum_workers: 1\n")
    _, calls = run("--dry", "--num-workers", 3, "--set", "num_workers=2", "--config", file)
    assert calls[0].settings == Example(
        protocol="paper", lr=(0.001,), epochs=100, dry=True, num_workers=3
    )
    assert given(calls[0]) == {
        "protocol": str(file), "lr": str(file), "epochs": "protocol paper",
        "dry": "--dry", "num_workers": "--num-workers",
    }  # fmt: skip


def test_the_last_of_several_assignments_wins(run: Run) -> None:
    _, calls = run("--set", "epochs=1", "--set", "epochs=2")
    assert calls[0].settings.epochs == 2
    assert given(calls[0]) == {"epochs": "--set"}


def test_an_option_at_its_default_still_beats_the_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("epochs: 5\ndry: true")
    _, calls = run("--config", tmp_path / "a.yaml", "-e", 90, "--no-dry")
    assert (calls[0].settings.epochs, calls[0].settings.dry) == (90, False)


@pytest.mark.parametrize("text", ["1e-3,0.5", "1e-3, 0.5", " 0.001,.5,"])
def test_lists_are_given_with_commas(run: Run, text: str) -> None:
    _, calls = run("--lr", text)
    assert calls[0].settings.lr == (0.001, 0.5)


def test_how_to_run_is_no_setting(run: Run) -> None:
    _, calls = run("-o", "runs/a", "--overwrite", "--json")
    assert calls[0] == Invocation(calls[0].resolved, Path("runs/a"), False, True, True)
    assert given(calls[0]) == {}


def test_json_alone_is_on_stdout(run: Run) -> None:
    result, _ = run("--json")
    assert json.loads(result.stdout) == {"epochs": 90}
    assert result.stderr == "for humans\n"


def test_without_json_stdout_is_left_to_the_command(run: Run) -> None:
    assert run()[0].stdout == ""


def test_only_the_main_process_prints_json(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    result, calls = run("--json")
    assert (result.stdout, len(calls)) == ("", 1)


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["--lr", "x"], ["lr: ", "got 'x' (from --lr)"]),
        (["--lr", ","], ["lr: ", "at least 1 item", "(from --lr)"]),
        (["--epochs", "0"], ["epochs: ", "greater than or equal to 1, got '0' (from --epochs)"]),
        (["--protocol", "papr"], ["unknown protocol 'papr'; did you mean 'paper'?"]),
        (["--set", "epochs"], ["--set wants key=value, got 'epochs'"]),
        (["--set", "a.b=3"], ["--set: unknown setting a; choose from: dry, epochs"]),
        (["--config", "none.yaml"], ["no file at none.yaml"]),
        (["--resume"], ["--resume needs --output: the run folder to continue"]),
        (["--num-processes", "2", "--epochs", "0"], ["epochs: "]),
    ],
)
def test_bad_input_is_one_line_and_nothing_runs(
    run: Run, args: list[str], parts: list[str]
) -> None:
    result, calls = run(*args)
    assert_bad_input(result, *parts)
    assert calls == []


def test_there_is_at_least_one_process(run: Run) -> None:
    result, calls = run("--num-processes", 0)
    assert (result.exit_code, calls) == (2, [])
    assert "--num-processes" in result.stderr


def test_a_resumed_run_starts_from_its_stored_settings(run: Run, tmp_path: Path) -> None:
    text = "epochs: 7\nlr: [0.5]\nprotocol: paper\nnum_workers: 1\n"
    (tmp_path / "config.yaml").write_text(text)
    _, calls = run("--resume", "-o", tmp_path, "--set", "num_workers=4")
    assert calls[0].resume
    assert calls[0].settings == Example(protocol="paper", epochs=7, lr=(0.5,), num_workers=4)
    assert calls[0].resolved.sources["epochs"] == "resumed run"


def test_code_that_a_run_to_resume_names_is_named_by_the_user_too(
    run_cli: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.yaml").write_text("backbone: python:theirs:build\ndata: csv:none.csv\n")
    resume = ["probe", "--resume", "-o", tmp_path]
    says = f"{tmp_path}/config.yaml names Python code to run, python:theirs:build"
    assert_bad_input(run_cli(*resume), says, "TOOLKIT_TRUSTED=theirs:build")
    named = run_cli(*resume, "--backbone", "python:theirs:build")
    monkeypatch.setenv("TOOLKIT_TRUSTED", "theirs:build")
    for result in (named, run_cli(*resume)):
        assert_bad_input(result, "none.csv")


def test_a_run_without_stored_settings_starts_from_the_defaults(run: Run, tmp_path: Path) -> None:
    _, calls = run("--resume", "-o", tmp_path)
    assert calls[0].settings == Example()


def test_a_launched_process_does_not_launch_again(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    _, calls = run("--num-processes", 2)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("begins", "words", "end"),
    [
        (False, [], ": lower --num-processes or --num-workers"),
        (True, [], ": lower --num-processes or --num-workers, and go on with --resume"),
        (False, ["--resume"], ": lower --num-processes or --num-workers, and go on with --resume"),
    ],
)
def test_what_has_not_begun_is_not_to_be_gone_on_with(
    tmp_path: Path, begins: bool, words: list[str], end: str
) -> None:
    app = typer.Typer(cls=PluginGroup)
    app.callback()(lambda: None)

    @run_command(app, Example, name="example")
    def example(invocation: Invocation[Example]) -> Any:
        """Run out of memory, with a folder or before there is one."""
        if begins:
            lock_folder(tmp_path)
        raise MemoryError

    result = CliRunner().invoke(app, ["example", "--output", str(tmp_path), *words])
    assert (result.exit_code, result.stderr) == (1, f"error: memory ran out{end}\n")


def test_a_command_that_is_no_run_has_an_option_for_every_setting() -> None:
    app = typer.Typer()

    @app.command()
    @with_settings(Example)
    def look(place: Annotated[str, typer.Argument()], *, settings: Example) -> None:
        typer.echo(f"{place} {settings.lr} {settings.dry}")

    result = CliRunner().invoke(app, ["here", "--lr", "0.1,0.2", "--dry"])
    assert result.stdout == "here (0.1, 0.2) True\n"
    result = CliRunner().invoke(app, ["here", "--epochs", "0"])
    assert str(result.exception).startswith("epochs: input should be greater than or equal to 1")


# Help


def entries(help_text: str) -> dict[str, str]:
    """Return the help of each long option, its lines joined."""
    actual: dict[str, str] = {}
    name = ""
    for line in help_text.splitlines():
        if match := re.match(r"│ (--[a-z-]+)", line):
            name = match[1]
        if line.startswith("│") and name:
            actual[name] = " ".join([actual.get(name, ""), *line.strip("│ ").split()])
    return actual


def written(default: object) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


COMMANDS = {("probe",): ProbeSettings, ("pretrain", "slimp"): SlimpSettings}


@pytest.mark.parametrize(("command", "settings"), COMMANDS.items(), ids=["probe", "slimp"])
def test_every_option_of_a_command_is_documented_with_its_default(
    run_cli: Callable[..., Result], command: tuple[str, ...], settings: type[Settings]
) -> None:
    result = run_cli(*command, "--help")
    assert result.exit_code == 0
    shown = entries(result.output)
    for key, field in settings.model_fields.items():
        if field_extra(field)["holds_groups"]:
            continue  # `--set GROUP.KEY=VALUE` reaches it
        text = shown["--" + key.replace("_", "-")]
        assert field.description in text
        if field.default is not None:
            assert text.endswith(f"(default: {written(field.default)})")


@pytest.mark.parametrize("settings", COMMANDS.values())
def test_every_setting_has_a_sentence_of_help(settings: type[Settings]) -> None:
    for key, field in settings.model_fields.items():
        assert field.description, key
        assert field.description[0].isupper() or field.description.startswith("bf16"), key
        assert field.description.endswith("."), key


def test_help_shows_the_type_the_choices_and_the_panel(run_cli: Callable[..., Result]) -> None:
    output = run_cli("probe", "--help").output
    shown = entries(output)
    assert "val|test" in shown["--select-on"]
    assert "FLOAT,..." in shown["--lr"]
    assert "INT|exact" in shown["--cache-images"]
    assert "INT" not in shown["--store-dtype"].split("|")[0]
    assert "PATH" in shown["--store-dir"]
    assert "--no-random-init" in shown["--random-init"]
    assert "-m" in shown["--method"].split()
    panels = re.findall(r"─ (\w+) ─", output)
    assert panels[:3] == ["Options", "Data", "Backbone"]
    expected = {"Probe", "Training", "Tuning", "Repeats", "Machine", "Run"}
    assert expected == set(panels[3:])


def test_the_docstring_is_the_help(run: Run) -> None:
    assert "Say what would be computed." in run("--help")[0].output
