"""``worldmodel study selfflow``: run what is missing of a plan's cells, several at once, and write the report."""

from __future__ import annotations

import contextlib
import fcntl
import json
import multiprocessing as mp
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from research.study import rows
from research.study.cell import DONE, INTERRUPTED, serve
from research.study.plan import Cell, Study, StudyConfig, StudyData
from worldmodel.config import UserError
from worldmodel.interrupt import StopSignal
from worldmodel.processes import isolated


def selfflow(config: StudyConfig) -> int:
    """Run a plan and report on it. 0: every cell has its row; 1: some failed; 130: interrupted, nothing lost."""
    if config.report_only:
        return write_report(config)
    study = Study(config, StudyData.of(config))
    rows.check_all(study)
    started = {cell: rows.begin(study, cell) for cell in config.cells()}
    todo = [cell for cell, row in started.items() if rows.missing(study, cell, row)]
    study.where.mkdir(parents=True, exist_ok=True)
    with only_one(study.where):
        pool = CellPool(study, todo, done=len(started) - len(todo))
        stopped = pool.work()
    if any(rows.path_of(config, cell).is_file() for cell in config.cells()):
        write_report(config)
    for cell, reason in pool.failed.items():
        print(f"failed: {cell.name}: {reason} ({study.where / cell.name / 'log'})")
    if stopped:
        print(f"interrupted: {pool.done} of {pool.total} cells are done; the same command goes on")
        return INTERRUPTED
    return int(bool(pool.failed))


def write_report(config: StudyConfig) -> int:
    """Rebuild the report from the rows."""
    from research.study.report import report  # plots take a second to import

    return report(config)


@dataclass
class CellPool:
    """The cells that run now, those that wait, and how it went."""

    study: Study
    waiting: list[Cell]
    done: int = 0
    total: int = 0
    running: dict[Cell, SpawnProcess] = field(default_factory=dict)
    failed: dict[Cell, str] = field(default_factory=dict)
    bars: dict[Cell, TaskID] = field(default_factory=dict)
    began: dict[Cell, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.total = self.done + len(self.waiting)

    def work(self) -> bool:
        """Run every waiting cell; returns whether it was stopped before."""
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with StopSignal() as stop, Progress(*columns, console=console, transient=True) as progress:
            whole = progress.add_task("cells", total=self.total, completed=self.done)
            announced = False
            try:
                while self.running or (self.waiting and not stop.requested):
                    while self.waiting and not stop.requested and len(self.running) < self.study.plan.workers:
                        self.start(self.waiting.pop(0), progress)
                    if stop.requested and not announced:
                        announced = True
                        console.print("stopping after the current step or episode; Ctrl-C again stops at once")
                        self.interrupt()
                    wait([process.sentinel for process in self.running.values()], timeout=1.0)
                    for cell in [cell for cell, process in self.running.items() if not process.is_alive()]:
                        self.finish(cell, progress, console, stop.requested)
                    for cell, bar in self.bars.items():
                        step, what = self.progress_of(cell)
                        progress.update(bar, description=f"{cell.name}: {what}", completed=step)
                    progress.update(whole, completed=self.done)
            finally:
                for process in self.running.values():
                    process.kill()  # states on disk are whole: a save is a rename
            return stop.requested

    def start(self, cell: Cell, progress: Progress) -> None:
        """A process for a cell."""
        process = mp.get_context("spawn").Process(target=serve, args=(self.study, cell))
        with surroundings(self.study.plan.device):
            process.start()
        self.running[cell], self.began[cell] = process, time.monotonic()
        self.bars[cell] = progress.add_task(cell.name, total=self.study.plan.length(cell.arm))

    def finish(self, cell: Cell, progress: Progress, console: Console, stopping: bool) -> None:
        """Take note of how a cell's process ended."""
        process = self.running.pop(cell)
        progress.remove_task(self.bars.pop(cell))
        if process.exitcode == DONE:
            self.done += 1
            solved = rows.read(rows.path_of(self.study.plan, cell))["checkpoints"][-1]["solved"]
            minutes = (time.monotonic() - self.began[cell]) / 60
            outcome = f"{cell.name}: {solved.count('1')} of {len(solved)} solved, {minutes:.1f} min"
            console.print(f"{self.done} of {self.total} cells · {outcome}", highlight=False)
        elif not stopping:  # one that was still starting up ends with another code
            self.failed[cell] = last_line(self.study.where / cell.name / "log") or f"exit code {process.exitcode}"
            console.print(f"failed: {cell.name}: {self.failed[cell]}", highlight=False)

    def interrupt(self) -> None:
        """Pass Ctrl-C on, once."""
        for process in self.running.values():
            if process.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGINT)

    def progress_of(self, cell: Cell) -> tuple[int, str]:
        """Training step and stage of a running cell."""
        folder = self.study.where / cell.name
        try:
            return int(json.loads(last_line(folder / "metrics.jsonl"))["step"]), (folder / "stage").read_text()
        except (OSError, ValueError, KeyError):
            return 0, "starting"


@contextlib.contextmanager
def surroundings(device: str) -> Iterator[None]:
    """Environment of a cell: one thread, and no GPU unless requested."""
    visible, compilers = os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("TORCHINDUCTOR_COMPILE_THREADS")
    with isolated():
        os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
        if device != "cpu":
            os.environ.pop("CUDA_VISIBLE_DEVICES")
            os.environ |= {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
        try:
            yield
        finally:
            os.environ.pop("TORCHINDUCTOR_COMPILE_THREADS")
            os.environ |= {} if compilers is None else {"TORCHINDUCTOR_COMPILE_THREADS": compilers}


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Two studies on one folder would train the same cells. UserError where another one runs."""
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{folder}: another study runs here; wait for it, or use another plan= or out=") from None
        yield


def last_line(path: Path) -> str:
    """The last line of a text file that is not blank; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return lines[-1].strip() if lines else ""
