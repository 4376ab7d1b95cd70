"""Deaths on purpose: a job in a fork, killed at its n-th file operation or after a time; imports are paid once."""

import builtins
import contextlib
import io
import multiprocessing as mp
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

OPERATIONS = (
    "replace", "rename", "fsync", "write", "pwrite", "ftruncate", "mkdir", "unlink", "rmdir", "remove", "open",
)  # fmt: skip
"""Functions of ``os`` that change what lies on the disk (or open it); a kill before one is a kill between two."""


class CrashPoint:
    """Counts this process's file operations and kills it, as kill -9 does, at the ``limit``-th."""

    def __init__(self, limit: int) -> None:
        self.count, self.limit, self.process = 0, limit, os.getpid()
        for name in OPERATIONS:
            setattr(os, name, self._counted(getattr(os, name)))
        opened = builtins.open

        def counting(file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
            if any(letter in mode for letter in "wax+"):
                self.hit()
            return opened(file, mode, *rest, **named)

        builtins.open = io.open = counting

    def hit(self) -> None:
        if os.getpid() == self.process:  # not in the processes that the job starts
            self.count += 1
            if self.count == self.limit:
                os.kill(self.process, signal.SIGKILL)

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self.hit()
            return call(*arguments, **named)

        return counted


def forked(job: Callable[[], Any], log: Path, limit: int = 0, after: float = 0.0, patience: float = 300.0) -> Any:
    """Run ``job`` in a fork: ("done", its value), ("killed", None), or ("failed", a traceback's last line).

    limit: kill it at this file operation (0: never). after: kill it after so many seconds (0: never).
    """
    here, there = mp.Pipe(duplex=False)
    pid = os.fork()
    if pid == 0:
        _child(job, log, limit, there)
    there.close()
    began, answer = time.monotonic(), None
    ends = os.pidfd_open(pid)
    left, both = after or patience, list[Any]([ends, here])
    while True:
        ready, _, _ = select.select(both, [], [], max(0.0, left - (time.monotonic() - began)))
        if here in ready and (answer := _heard(here, answer)) is not None and ends not in ready:
            ready = select.select(both[:1], [], [], patience)[0]
        if ends in ready:
            break
        if time.monotonic() - began >= left:
            os.kill(pid, signal.SIGKILL)
            left = 2 * patience
    found = os.waitpid(pid, 0)
    os.close(ends)
    answer = _heard(here, answer)
    here.close()
    if os.WIFSIGNALED(found[1]):
        late = not after and time.monotonic() - began > patience
        return ("failed", f"no end within {patience:g} s") if late else ("killed", None)
    return answer or ("failed", f"exit {found[1]}: {log.read_text()[-300:]}")


def _heard(pipe: Connection, before: Any) -> Any:
    with contextlib.suppress(EOFError, OSError):
        while pipe.poll():
            before = pipe.recv()
    return before


def _child(job: Callable[[], Any], log: Path, limit: int, pipe: Connection) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    point = CrashPoint(limit)
    try:
        value = job()
        answer: tuple[str, Any] = ("done", (value, point.count))
    except BaseException as error:  # noqa: BLE001  the parent reports it, whatever it was
        traceback.print_exc()
        answer = ("failed", f"{type(error).__name__}: {error}")
    sys.stdout.flush()
    point.process = 0
    pipe.send(answer)
    os._exit(0)


def fork_workers() -> None:
    """Worker processes of jobs are forked as well, not spawned: their imports are paid already."""
    fork = mp.get_context("fork")
    mp.get_context = lambda method=None: fork  # type: ignore[assignment]
