"""Simulators in spawned processes that cannot see CUDA, several to a process; a watchdog replaces hung and dead ones.

The parent asks a *slot* (one simulator) a question and later takes all answers. When a process is lost, so are the
episodes in its slots: their answers say so, and whoever runs the episodes begins them again.
"""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from worldmodel.config import UserError
from worldmodel.evaluate.stage import Moment, Stage
from worldmodel.processes import end_with_parent, isolated

ATTEMPTS = 3
"""A process that is lost this often without a single answer in between ends the evaluation; so does an episode."""


@dataclass(frozen=True)
class Answer:
    """What one slot said: a moment, or why its process was lost."""

    slot: int
    moment: Moment | None = None
    lost: str = ""


class Process:
    """One spawned process, its slots' unanswered questions and when it last gave a sign of life."""

    def __init__(self, stages: Callable[[], Stage]) -> None:
        context = mp.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, stages), daemon=True)
        with isolated():
            self.process.start()
        theirs.close()
        self.waiting: set[int] = set()
        self.heard = time.monotonic()
        self.answered = False

    def ask(self, slot: int, verb: str, arguments: tuple[Any, ...]) -> None:
        if not self.waiting:
            self.heard = time.monotonic()
        self.waiting.add(slot)
        with contextlib.suppress(OSError):  # it just died: the watchdog finds it
            self.connection.send((slot, verb, arguments))

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


class Simulators:
    """``slots`` simulators shared out over ``processes``; slot s lives in process s modulo their number.

    ``timeout``: seconds of silence after which a process with unanswered questions is replaced (twice that for its
    first answer, which includes starting up). ``replaced`` counts replacements.
    """

    def __init__(self, stages: Callable[[], Stage], slots: int, processes: int, timeout: float = 60.0) -> None:
        self.stages, self.slots, self.timeout = stages, slots, timeout
        self.replaced = 0
        self._lost_in_a_row: dict[int, int] = {}
        self._processes = [Process(stages) for _ in range(min(processes, slots))]

    def ask(self, slot: int, verb: str, *arguments: Any) -> None:
        """Put a question (a method of `Stage` that returns a Moment, with its arguments) to a slot."""
        self._processes[slot % len(self._processes)].ask(slot, verb, arguments)

    def answers(self) -> Iterator[Answer]:
        """Answers as they come, until none is due. UserError where a simulator fails or cannot be kept running.

        A lost process is told by an answer for each of its slots, also those idle or heard of before.
        """
        while due := [process for process in self._processes if process.waiting]:
            by_connection = {process.connection: process for process in due}
            for connection in wait(list(by_connection), timeout=0.5):
                yield from self._receive(by_connection[connection])  # type: ignore[index]
            for process in due:
                limit = self.timeout * (1 if process.answered else 2)
                if process.waiting and time.monotonic() - process.heard > limit:
                    yield from self._replace(process, f"gave no answer for {limit:g} s")

    def one(self, slot: int, verb: str, *arguments: Any) -> Answer:
        """Ask one slot and wait."""
        self.ask(slot, verb, *arguments)
        return next(iter(list(self.answers())))

    def fingerprint(self) -> dict[str, Any]:
        """What the env of the first slot says of itself. Ask after it has drawn, to learn what really draws."""
        process = self._processes[0]
        process.connection.send((0, "fingerprint", ()))
        if not process.connection.poll(self.timeout):
            raise UserError(f"a simulator gave no answer for {self.timeout:g} s; `worldmodel doctor` probes it")
        return dict(process.connection.recv()[2])

    def close(self) -> None:
        """Stop all processes at once."""
        for process in self._processes:
            process.stop()

    def __enter__(self) -> Simulators:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _receive(self, process: Process) -> Iterator[Answer]:
        try:
            slot, kind, value = process.connection.recv()
        except (EOFError, OSError):
            process.process.join(1)
            yield from self._replace(process, f"died (exit code {process.process.exitcode})")
            return
        if kind == "oserror":
            raise OSError(*value)
        if kind == "error":
            raise UserError(f"a simulator failed: {value[0]}")
        process.heard, process.answered = time.monotonic(), True
        process.waiting.discard(slot)
        self._lost_in_a_row[self._processes.index(process)] = 0
        yield Answer(slot, value)

    def _replace(self, process: Process, reason: str) -> Iterator[Answer]:
        position = self._processes.index(process)
        process.stop()
        self._lost_in_a_row[position] = self._lost_in_a_row.get(position, 0) + 1
        if self._lost_in_a_row[position] >= ATTEMPTS:
            raise UserError(f"a simulator {reason}, {ATTEMPTS} times running; `worldmodel doctor` probes the renderer")
        self.replaced += 1
        self._processes[position] = Process(self.stages)
        # Slots that had answered in this round are lost as well: the state of their episodes is gone.
        for slot in range(position, self.slots, len(self._processes)):
            yield Answer(slot, lost=reason)


def _serve(connection: Connection, stages: Callable[[], Stage]) -> None:
    """Body of a simulator process: questions in, answers out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; only the parent decides
    end_with_parent()
    opened: dict[int, Stage] = {}
    slot = -1
    try:
        while True:
            slot, verb, arguments = connection.recv()
            if slot not in opened:
                opened[slot] = stages()
            connection.send((slot, "ok", getattr(opened[slot], verb)(*arguments)))
    except EOFError:
        return
    except OSError as error:
        value = (error.errno, error.strerror, error.filename) if error.errno else (str(error),)
        connection.send((slot, "oserror", value))
    except Exception as error:  # noqa: BLE001  # whatever went wrong, the parent must hear of it
        told = isinstance(error, (ValueError, UserError))
        if not told:  # a defect, not something the user asked for: say where it is
            traceback.print_exc()
        name = "" if told else f"{type(error).__name__}: "
        connection.send((slot, "error", (name + " ".join(str(error).split()),)))
