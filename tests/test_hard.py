"""Options, interrupts and children that outlive nobody: what people and machines do to commands."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from worldmodel.cli import Interrupt, main
from worldmodel.collect import CollectConfig
from worldmodel.config import UserError
from worldmodel.evaluate.config import EvaluateConfig
from worldmodel.evaluate.evaluate import evaluate
from worldmodel.files import locked
from worldmodel.imagine.config import ImagineConfig, ScoreConfig
from worldmodel.interrupt import StopSignal, check_interrupted
from worldmodel.processes import PARENT
from worldmodel.settings import load
from worldmodel.train import TrainConfig

TRAIN = ("data=d", "out=o")


@pytest.mark.parametrize("text", ["task=${oc.env:SECRET}", "videos=${oc.env:SECRET}", "instruction=x${oc.env:SECRET}"])
def test_interpolations_are_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "TOP-SECRET")
    with pytest.raises(UserError, match="may not hold") as caught:
        load("evaluate", EvaluateConfig, ["out=o", text])
    assert "TOP-SECRET" not in str(caught.value)


NONSENSE: list[tuple[str, type, Sequence[str], str]] = [
    *(("train", TrainConfig, TRAIN, text) for text in (
        "batch=1000000000", "steps=0", "steps=nan", "steps=1000000000000000000000", "optimiser.lr=-1",
        "optimiser.lr=nan", "optimiser.lr=inf", "seed=-1", "seed=18446744073709551616", "size=100000", "patch=0",
        "patch=-16", "future=17", "log.every=0", "log.every=-1", "validation.every=-1", "backbone.width=0",
        "backbone.width=-128", "backbone.depth=0", "backbone.depth=1000000", "backbone.heads=0", "modes.policy=nan",
        "optimiser.ema=-1", "optimiser.clip=-1", "optimiser.clip=0", "optimiser.warmup=-5", "optimiser.decay=7",
        "augment.brightness=nan", "augment.shift=-3", "augment.shift=1000", "tasks=[]", "tasks=[a,a]", "data=", "out=",
        "holdout=1.5", "save_every=0", "noise.actions.p_high=-1", "noise.frames.p_max=5", "noise.actions.prefix=-1",
        "noise.actions.prefix=99", "objective.draws=0", "objective.draws=100000",
    )),
    *(("evaluate", EvaluateConfig, ("out=o",), text) for text in (
        "seed=-1", "steps=0", "steps=1000000000", "timeout=nan", "timeout=inf", "timeout=1e-9", "threads=1024",
        "batch=1024", "out=", "task=", "checkpoint=", "starts=", "episodes=0",
    )),
    *(("collect", CollectConfig, ("out=o",), text) for text in (
        "seed=-1", "seed=2147483648", "noise=nan", "noise=2.1", "timeout=nan", "workers=0",
        "workers=99999999999999999999", "out=", "task=", "size=7",
    )),
    *(("imagine", ImagineConfig, ("mode=forward", "data=d"), text) for text in (
        "steps=0", "steps=-1", "windows=0", "show=0", "seed=-1", "holdout=nan", "data=", "out=", "mode=",
    )),
    *(("score", ScoreConfig, ("data=d",), text) for text in (
        "windows=0", "resamples=0", "steps=0", "batch=0", "holdout=nan", "seed=-1", "show=-5", "seconds=inf",
    )),
]  # fmt: skip


@pytest.mark.parametrize(("command", "schema", "needed", "text"), NONSENSE, ids=lambda value: str(value)[:40])
def test_nonsense_is_refused_before_anything_is_done(
    command: str, schema: type, needed: Sequence[str], text: str
) -> None:
    with pytest.raises((UserError, ValueError)) as caught:
        load(command, schema, [*needed, text])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def test_of_two_evaluations_in_one_folder_the_second_is_refused(tmp_path: Path) -> None:
    with locked(tmp_path / "out"), pytest.raises(FileExistsError, match="written by another process"):
        evaluate(EvaluateConfig(out=str(tmp_path / "out"), task="lift_can", episodes=1))
    with locked(tmp_path / "out"):
        pass  # it is free again
    assert list(tmp_path.iterdir()) == []


def test_a_ctrl_c_that_a_library_swallows_while_it_loads_is_not_lost() -> None:
    handler = Interrupt()
    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        with StopSignal() as stop:
            assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            check_interrupted()
    finally:
        signal.signal(signal.SIGINT, before)
    check_interrupted()


def test_a_second_reader_of_the_interrupt_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """`play` hands a Ctrl-C that comes before its server listens on to it."""
    told: list[Any] = []
    with StopSignal() as stop:
        stop.then = lambda *arguments: told.append(arguments)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
    assert stop.requested and told


def test_a_command_ends_with_the_one_that_runs_it(tmp_path: Path) -> None:
    """As `train` runs `evaluate`: kill -9 of the parent leaves no child behind."""
    child = (
        "import os, time; from worldmodel.processes import end_with_parent; end_with_parent(); "
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    )
    run = f"subprocess.run([sys.executable, '-c', {child!r}], env=os.environ | {{{PARENT!r}: str(os.getpid())}})"
    parent = f"import os, subprocess, sys; {run}"
    process = subprocess.Popen([sys.executable, "-c", parent])
    end = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < end
        time.sleep(0.05)
    process.kill()
    process.wait()
    pid = int((tmp_path / "pid").read_text())
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split(") ")[1][:1]:
        assert time.monotonic() < end, "it outlives its parent"
        time.sleep(0.05)


def test_an_empty_folder_writes_nowhere(tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["collect", "task=lift_can", "out="]) == 2
    assert "out= has no value" in capsys.readouterr().err and list(tmp_path.iterdir()) == []
