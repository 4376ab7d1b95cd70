"""Spawned simulator processes, one renderer each, that cannot see CUDA; a watchdog replaces the hung and the dead."""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import time
from collections import deque
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

from worldmodel.collect.stop import deaf_children
from worldmodel.collect.worker import Job, work
from worldmodel.config import UserError
from worldmodel.data import layout
from worldmodel.processes import isolated

ATTEMPTS = 3
"""A seed that hangs or kills its worker this often stops the collection."""

STARTUP_SECONDS = 60.0
"""A worker may take this long to start, on a machine that is busy with other things."""


@dataclass(frozen=True)
class Result:
    """One tried seed; an episode that is kept waits in the spool."""

    seed: int
    kept: bool


class Worker:
    """One process, the seed it works on and since when."""

    def __init__(self, job: Job) -> None:
        context = mp.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, job), daemon=True)
        with isolated(), deaf_children():
            self.process.start()
        theirs.close()
        self.seed: int | None = None
        self.ready = False
        self.since = time.monotonic()

    def give(self, seed: int) -> None:
        self.seed, self.since = seed, time.monotonic()
        with contextlib.suppress(OSError):  # it just died: the watchdog finds it and retries the seed
            self.connection.send(seed)

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


class Workers:
    """A pool that turns seeds into results. ``fingerprint`` is set once the first worker is up."""

    def __init__(self, job: Job, count: int) -> None:
        self.job = job
        self.replaced = 0
        self.fingerprint: dict[str, Any] | None = None
        self._queue: deque[int] = deque()
        self._failures: dict[int | None, int] = {}
        self._workers = [Worker(job) for _ in range(count)]

    def submit(self, seed: int) -> None:
        """Queue a seed."""
        self._queue.append(seed)

    @property
    def hungry(self) -> bool:
        """Whether a worker has nothing to do, or soon will: one seed waits per worker, so that none idles."""
        return len(self._queue) < len(self._workers)

    def poll(self, timeout: float) -> list[Result]:
        """Results that arrive within ``timeout`` seconds. UserError where work cannot go on, OSError on a full disk."""
        results = []
        self._hand_out()
        handles = {worker.connection: worker for worker in self._workers}
        for handle in wait(list(handles), timeout):
            worker = handles[handle]  # type: ignore[index]
            try:
                kind, value = worker.connection.recv()
            except (EOFError, OSError):
                worker.process.join(1)
                self._replace(worker, f"died (exit code {worker.process.exitcode})")
                continue
            if kind == "ready":
                worker.ready = True
                self.fingerprint = self.fingerprint or value
            elif kind == "done":
                results.append(Result(*value))
                self._failures.pop(worker.seed, None)
                worker.seed = None
            else:
                self._fail(kind, value)
        for worker in list(self._workers):
            limit = self.job.timeout if worker.ready else max(self.job.timeout, STARTUP_SECONDS)
            busy = worker.seed is not None or not worker.ready
            if busy and time.monotonic() - worker.since > limit:
                self._replace(worker, f"gave no answer for {limit:g} s")
        self._hand_out()
        return results

    def close(self) -> None:
        """Stop all workers at once; what they finished is in the spool."""
        for worker in self._workers:
            worker.stop()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hand_out(self) -> None:
        for worker in self._workers:
            if worker.ready and worker.seed is None and self._queue:
                worker.give(self._queue.popleft())

    def _replace(self, worker: Worker, reason: str) -> None:
        """Start a fresh worker and try the seed again, a few times."""
        worker.stop()
        seed = worker.seed
        self._failures[seed] = self._failures.get(seed, 0) + 1
        if self._failures[seed] >= ATTEMPTS:
            what = "starting up" if seed is None else f"on seed {seed}"
            raise UserError(f"a worker {reason} {ATTEMPTS} times {what}; `worldmodel doctor` probes the renderer")
        if seed is not None:
            self._queue.appendleft(seed)
        self.replaced += 1
        self._workers[self._workers.index(worker)] = Worker(self.job)

    def _fail(self, kind: str, value: tuple[Any, ...]) -> None:
        if kind == "oserror":
            raise layout.explained(OSError(*value), self.job.spool.parents[1])
        seed, message, trace = value
        log = self.job.spool.parent / "worker-error.txt"
        log.write_text(trace)
        where = "could not start" if seed is None else f"failed on seed {seed}"
        raise UserError(f"a worker {where}: {message} (traceback in {log})")
