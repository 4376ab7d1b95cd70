"""The command line: commands are found, explained and run; mistakes are one line on stderr with a code."""

from __future__ import annotations

import importlib
import shlex
import subprocess
import sys
import time
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import worldmodel
from worldmodel import cli, legacy
from worldmodel.config import UserError, option
from worldmodel.settings import describe, load
from worldmodel.train import TrainConfig


@dataclass(frozen=True)
class ToyConfig:
    count: int = option("how many", 3)
    store: str = option("which", "none")


def toy(config: ToyConfig) -> int:
    raise {
        0: KeyboardInterrupt,
        1: UserError("one\nline"),
        2: OSError(28, "No space left on device"),
        4: TypeError("x"),
    }[config.count]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command `toy` whose module exists only here."""
    module = types.ModuleType("toy_command")
    module.__dict__.update(ToyConfig=ToyConfig, toy=toy, quiet=print)
    monkeypatch.setitem(sys.modules, "toy_command", module)
    toys = [cli.Command(name, "toy_command", "ToyConfig", "Plays.", (), "store") for name in ("toy", "toy quiet")]
    monkeypatch.setattr(cli, "COMMANDS", (*cli.COMMANDS, *toys))


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_the_overview_names_every_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 0
    shown = capsys.readouterr().out
    assert all(f"  {command.name}" in shown and command.does in shown for command in cli.COMMANDS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evalute"], "evalute: no such command; did you mean 'evaluate'?"),
        (["data", "verfy", "x"], "did you mean 'data verify'?"),
        (["doctor", "jsn=true"], "`doctor` has no option 'jsn'; did you mean 'json'?"),
        (["doctor", "json=perhaps"], "json=perhaps: expected bool"),
        (["doctor", "timeout=0"], "timeout=0.0: expected seconds above 0"),
        (["doctor", "--json"], "options are written name=value"),
        (
            ["doctor", "--json"],
            "--json: options are written name=value, here json=true; try `worldmodel doctor --help`",
        ),
        (["collect", "--episodes", "3"], "--episodes: options are written name=value, here episodes=3;"),
        (["train", "--save-every=5", "data=x"], "here save_every=5;"),
        (["print", "trai"], "trai: no such command; did you mean 'train'?"),
        (["doctor", "json"], "options are written name=value"),
        (["--jsn"], "no such option"),
    ],
)
def test_bad_input_is_one_line_and_code_2(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1


@pytest.mark.parametrize("words", [["version"], ["--version"], ["-V"]])
def test_the_version_is_printed(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 0 and capsys.readouterr().out == f"worldmodel {worldmodel.__version__}\n"


def test_help_may_be_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for words in (["help", "train"], ["train", "--help"], ["help"], ["--help"]):
        assert cli.main(words) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] and shown[2] == shown[3]


def test_print_shows_the_composed_values(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["print", "train", "experiment=gym", "model=nano", "data=x", "optimiser.lr=0.5"]) == 0
    found = yaml.safe_load(capsys.readouterr().out)
    assert found["data"] == "x" and found["out"] == "???" and found["optimiser"]["lr"] == 0.5
    wanted = load("train", TrainConfig, ["experiment=gym", "model=nano", "data=x", "out=y"])
    assert found["backbone"]["width"] == wanted.backbone.width and found["modes"]["policy"] == wanted.modes.policy
    assert cli.main(["print", "data", "verify", "some/where"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["store"] == "some/where"


@pytest.mark.usefixtures("command")
def test_errors_of_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    for count, code, message in ((0, 130, "interrupted"), (1, 2, "one line"), (2, 2, "No space left on device")):
        assert cli.main(["toy", f"count={count}"]) == code
        err = capsys.readouterr().err
        assert message in err and err.count("\n") == 1
    with pytest.raises(TypeError):  # a defect keeps its traceback
        cli.main(["toy", "count=4"])


@pytest.mark.usefixtures("command")
def test_a_bare_word_fills_its_key_and_two_word_commands_win(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["toy", "quiet", "some/where", "count=1"]) == 0
    assert "store='some/where'" in capsys.readouterr().out


@pytest.mark.usefixtures("command")
def test_old_names_of_commands_keep_working(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(legacy, "COMMANDS", {"game still": "toy quiet", "game": "toy"})
    monkeypatch.setattr(legacy, "_announced", set())
    assert cli.main(["game", "still", "some/where"]) == 0
    out, err = capsys.readouterr()
    assert "store='some/where'" in out
    assert err.startswith("worldmodel: `worldmodel game still` is now `worldmodel toy quiet`;") and err.count("\n") == 1
    assert cli.main(["game", "--help"]) == 0


def test_help_comes_before_anything_heavy_is_imported() -> None:
    code = "import sys, worldmodel.cli as c; c.main(['--help']); print(sorted({'torch', 'hydra'} & set(sys.modules)))"
    start = time.perf_counter()
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.endswith("[]\n")
    assert time.perf_counter() - start < 5  # 0.05 s on an idle machine


@pytest.mark.parametrize("words", [["--help"], ["no_such_key=1"]], ids=["help", "typo"])
def test_keys_are_explained_without_torch_or_a_simulator(words: list[str]) -> None:
    """One process asks every command in turn; a name that is loaded stays loaded, so the first culprit is named."""
    code = (
        "import contextlib, io, sys\n"
        "from worldmodel import cli\n"
        "for command in cli.COMMANDS:\n"
        "    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):\n"
        f"        cli.main([*command.name.split(), *{words!r}])\n"
        "    loaded = sorted({'torch', 'mujoco', 'zarr', 'lerobot', 'matplotlib'} & set(sys.modules))\n"
        "    assert not loaded, f'{command.name} loads {loaded}'\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("command", cli.COMMANDS, ids=lambda command: command.name)
def test_every_command_is_there_and_explains_itself(command: cli.Command) -> None:
    module = importlib.import_module(command.module)
    schema: Any = cli.schema_of(command)
    assert callable(getattr(module, command.call))
    keys, _ = describe(command.name.replace(" ", "_"), schema)
    assert not [key.name for key in keys if not key.help], "keys without a meaning"
    text = cli.explain(command, schema, [])
    assert command.does in text and all(f"  {key.name}=" in text for key in keys) and command.examples[0] in text


def test_commands_of_research_need_a_checkout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "__file__", str(tmp_path / "worldmodel" / "cli.py"))
    assert cli.main(["study", "selfflow", "study=smoke"]) == 2
    err = capsys.readouterr().err
    assert "study selfflow: belongs to the folder research/ of a checkout" in err and err.count("\n") == 1


@pytest.mark.parametrize("example", [line for command in cli.COMMANDS for line in command.examples])
def test_examples_are_valid_command_lines(example: str) -> None:
    assert cli.main([*shlex.split(example)[1:], "--help"]) == 0
