"""Processes of ours: spawned, without CUDA, watched and replaced, ended with their parent, and safe from Ctrl-C."""

import contextlib
import multiprocessing as mp
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Self

from worldmodel.config import UserError

ISOLATED = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "LP_NUM_THREADS": "0"}
"""Environment of a process that renders: no CUDA beside EGL (it crashes), no threads beyond its own core."""
PARENT = "WORLDMODEL_PARENT"
"""Variable with the process id of the command that runs this one, and whose end is its end."""
ATTEMPTS = 3
"""A process that is lost this often without a single reply in between is given up, and so is its request."""
STARTUP_SECONDS = 60.0
"""The first reply may take this long, and twice the usual limit, on a machine that is busy with other things."""


@contextlib.contextmanager
def isolated() -> Iterator[None]:
    """Set ``ISOLATED`` for processes started inside: a spawned child reads it before its first import.

    They do not import the script that runs, so it needs no ``if __name__ == "__main__"``, and may be a notebook.
    """
    before = {name: os.environ[name] for name in ISOLATED if name in os.environ}
    os.environ.update(ISOLATED)
    main = vars(sys.modules["__main__"])
    script: dict[str, Any] = {name: main.pop(name) for name in ("__file__", "__spec__") if name in main}
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(script)
        for name in ISOLATED:
            os.environ.pop(name, None)
        os.environ.update(before)


@contextlib.contextmanager
def fair() -> Iterator[None]:
    """Undo real-time scheduling that is set inside.

    SVT-AV1, LeRobot's default video encoder, puts its caller on it where it may (root) and leaves it there; threads and
    processes started later inherit that, and two busy ones starve all others.
    """
    ordinary = hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) == os.SCHED_OTHER
    try:
        yield
    finally:
        if ordinary:
            for thread in os.listdir("/proc/self/task"):  # noqa: PTH208  (names, not paths)
                with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                    if os.sched_getscheduler(int(thread)) in (os.SCHED_FIFO, os.SCHED_RR):
                        os.sched_setscheduler(int(thread), os.SCHED_OTHER, os.sched_param(0))


def end_with_parent() -> None:
    """Called in a child: end it as soon as its parent is gone, however that went."""
    parent, number = mp.parent_process(), int(os.environ.pop(PARENT, 0))

    def wait() -> None:
        if parent is not None:
            parent.join()
        while parent is None and os.getppid() == number:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@contextlib.contextmanager
def deaf_children() -> Iterator[None]:
    """Processes started inside ignore Ctrl-C from their first instruction: it reaches the whole group."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass(frozen=True)
class Reply:
    """The value that a slot's call returned, or why its process was ``lost``."""

    slot: int
    value: Any = None
    lost: str = ""


class CallError(UserError):
    """A call failed in a process. ``name``, ``text``: of the error; ``trace``: its traceback where it is a defect."""

    def __init__(self, who: str, slot: int, name: str, text: str, trace: str) -> None:
        super().__init__(f"{who} failed: {f'{name}: ' if trace else ''}{text}")
        self.slot, self.name, self.text, self.trace = slot, name, text, trace


class Child:
    """One process, its slots' unanswered calls and when it last gave a sign of life."""

    def __init__(self, make: Callable[[], Any]) -> None:
        context = mp.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, make), daemon=True)
        with isolated(), deaf_children():
            self.process.start()
        theirs.close()
        self.waiting: set[int] = set()
        self.heard = time.monotonic()
        self.answered = False

    def ask(self, slot: int, method: str, arguments: tuple[Any, ...]) -> None:
        if not self.waiting:
            self.heard = time.monotonic()
        self.waiting.add(slot)
        with contextlib.suppress(OSError):  # it just died: the watchdog finds it
            self.connection.send((slot, method, arguments))

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()
        self.waiting.clear()


class Pool:
    """``slots`` objects, made by ``make`` (picklable) on first use; slot s lives in process s modulo ``processes``.

    A process that died, or owes a reply for ``timeout`` seconds, is replaced (``replaced`` counts them): each of its
    slots then replies that it is ``lost``. who: its name in messages. limit: losses in a row that are a UserError.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        slots: int,
        processes: int,
        timeout: float = 60.0,
        who: str = "a simulator",
        limit: float = ATTEMPTS,
    ) -> None:
        self.make, self.slots, self.timeout, self.who, self.limit = make, slots, timeout, who, limit
        self.replaced = 0
        self._lost_in_a_row: dict[int, int] = {}
        self._children = [Child(make) for _ in range(min(processes, slots))]

    def ask(self, slot: int, method: str, *arguments: Any) -> None:
        """Call a method of a slot's object; see `answers`."""
        self._children[slot % len(self._children)].ask(slot, method, arguments)

    def poll(self, timeout: float = 0.5) -> list[Reply]:
        """Replies within ``timeout`` seconds. CallError: a call failed; OSError: the disk; UserError: often lost."""
        replies: list[Reply] = []
        due = {child.connection: child for child in self._children if child.waiting}
        for connection in wait(list(due), timeout=timeout):
            replies += self._receive(due[connection])  # type: ignore[index]
        for child in due.values():
            limit = self.timeout if child.answered else max(2 * self.timeout, STARTUP_SECONDS)
            if child.waiting and time.monotonic() - child.heard > limit:
                replies += self._replace(child, f"gave no answer for {limit:g} s")
        return replies

    def answers(self) -> Iterator[Reply]:
        """Replies as they come, until none is due; see `poll`."""
        while any(child.waiting for child in self._children):
            yield from self.poll()

    def one(self, slot: int, method: str, *arguments: Any) -> Reply:
        self.ask(slot, method, *arguments)
        return next(reply for reply in list(self.answers()) if reply.slot == slot)

    def close(self) -> None:
        for child in self._children:
            child.stop()

    def abandon(self) -> None:
        """End all processes at once, from any thread: a call that waits for an answer raises UserError."""
        self.limit = 0
        for child in self._children:
            child.process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _receive(self, child: Child) -> list[Reply]:
        try:
            slot, kind, value = child.connection.recv()
        except (EOFError, OSError):
            child.process.join(1)
            return self._replace(child, f"died (exit code {child.process.exitcode})")
        if kind == "oserror":
            raise OSError(*value)
        if kind == "error":
            raise CallError(self.who, slot, *value)
        child.heard, child.answered = time.monotonic(), True
        child.waiting.discard(slot)
        self._lost_in_a_row[self._children.index(child)] = 0
        return [Reply(slot, value)]

    def _replace(self, child: Child, reason: str) -> list[Reply]:
        position = self._children.index(child)
        child.stop()
        self._lost_in_a_row[position] = self._lost_in_a_row.get(position, 0) + 1
        if self._lost_in_a_row[position] >= self.limit:
            doctor = "`worldmodel doctor` probes the renderer"
            raise UserError(f"{self.who} {reason}, {self.limit} times running; {doctor}")
        self.replaced += 1
        self._children[position] = Child(self.make)
        # Slots that have replied already are lost as well: the state of their episodes is gone.
        return [Reply(slot, lost=reason) for slot in range(position, self.slots, len(self._children))]


def _serve(connection: Connection, make: Callable[[], Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; only the parent decides
    end_with_parent()
    made: dict[int, Any] = {}
    slot = -1
    try:
        while True:
            slot, method, arguments = connection.recv()
            if slot not in made:
                made[slot] = make()
            connection.send((slot, "ok", getattr(made[slot], method)(*arguments)))
    except EOFError:
        return
    except OSError as error:
        value = (error.errno, error.strerror, error.filename) if error.errno else (str(error),)
        connection.send((slot, "oserror", value))
    except Exception as error:  # noqa: BLE001  # whatever went wrong, the parent must hear of it
        trace = "" if isinstance(error, ValueError | UserError) else traceback.format_exc()
        connection.send((slot, "error", (type(error).__name__, " ".join(str(error).split()), trace)))
