"""Simulators that turn seeds into episodes, one to a process; a seed whose process is lost is tried again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from worldmodel.collect import spool
from worldmodel.collect.demonstrate import EXPERTS, CollectionSpec, demonstrate
from worldmodel.config import UserError
from worldmodel.data import layout
from worldmodel.processes import ATTEMPTS, CallError, Pool, Reply
from worldmodel.schema import Policy
from worldmodel.sims.base import SimulatorSpec
from worldmodel.sims.make import make


@dataclass(frozen=True)
class Job:
    """What every worker needs to know."""

    recipe: CollectionSpec
    simulators: dict[str, SimulatorSpec]
    spool: Path
    timeout: float


class Worker:
    """The inside of a process: simulators of all tasks, and seeds that become episodes in the spool."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.simulators = {task: make(spec) for task, spec in job.simulators.items()}
        self.policies: dict[str, Policy] = {}
        if job.recipe.expert not in EXPERTS:
            from worldmodel import checkpoint  # two seconds, and only where it is wanted
            from worldmodel.policies import ModelPolicy

            self.policies = {task: ModelPolicy(checkpoint.load(job.recipe.expert), task) for task in job.recipe.tasks}

    def fingerprint(self) -> dict[str, Any]:
        """Of every task's simulator."""
        return {task: simulator.fingerprint() for task, simulator in self.simulators.items()}

    def record(self, seed: int) -> bool:
        """Try a seed; whether its episode is kept, and waits in the spool."""
        recipe, task = self.job.recipe, self.job.recipe.task_of(seed)
        episode = demonstrate(self.simulators[task], recipe, seed, self.policies.get(task))
        kept = episode.success or recipe.keeps_all
        if kept:
            spool.save(self.job.spool, episode)
        return kept


class Workers:
    """A pool that turns seeds into results. ``fingerprint`` is set once the first worker is up."""

    def __init__(self, job: Job, count: int) -> None:
        self.job = job
        self.fingerprint: dict[str, Any] | None = None
        self._queue: deque[int] = deque()
        self._failures: dict[int | None, int] = {}
        self._doing: dict[int, int | None] = dict.fromkeys(range(count))
        self._idle: set[int] = set()
        self._pool = Pool(partial(Worker, job), count, count, job.timeout, "a worker", limit=float("inf"))
        for slot in range(count):
            self._pool.ask(slot, "fingerprint")

    @property
    def replaced(self) -> int:
        """Workers that were lost and started again."""
        return self._pool.replaced

    def submit(self, seed: int) -> None:
        """Queue a seed."""
        self._queue.append(seed)

    @property
    def hungry(self) -> bool:
        """Whether a worker has nothing to do, or soon will: one seed waits per worker, so that none idles."""
        return len(self._queue) < len(self._doing)

    def poll(self, timeout: float) -> list[tuple[int, bool]]:
        """Seeds tried within ``timeout`` seconds and whether their episodes are kept, which wait in the spool.

        UserError where work cannot go on, OSError on a full disk.
        """
        self._hand_out()
        try:
            replies = self._pool.poll(timeout)
        except CallError as error:
            self._fail(error)
        except OSError as error:
            raise layout.explained(error, self.job.spool.parents[1]) from None
        results = []
        for reply in replies:
            seed = self._doing[reply.slot]
            if reply.lost:
                self._lose(reply, seed)
                continue
            if seed is None:
                self.fingerprint = self.fingerprint or reply.value
            else:
                self._failures.pop(seed, None)
                results.append((seed, bool(reply.value)))
            self._doing[reply.slot] = None
            self._idle.add(reply.slot)
        self._hand_out()
        return results

    def close(self) -> None:
        """Stop all workers at once; what they finished is in the spool."""
        self._pool.close()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hand_out(self) -> None:
        while self._idle and self._queue:
            slot = min(self._idle)
            self._idle.discard(slot)
            self._doing[slot] = self._queue.popleft()
            self._pool.ask(slot, "record", self._doing[slot])

    def _lose(self, reply: Reply, seed: int | None) -> None:
        """A fresh worker has taken the place of the lost one: try the seed again, a few times."""
        self._failures[seed] = self._failures.get(seed, 0) + 1
        if self._failures[seed] >= ATTEMPTS:
            what = "starting up" if seed is None else f"on seed {seed}"
            raise UserError(f"a worker {reply.lost} {ATTEMPTS} times {what}; `worldmodel doctor` probes the renderer")
        if seed is not None:
            self._queue.appendleft(seed)
        self._doing[reply.slot] = None
        self._idle.discard(reply.slot)
        self._pool.ask(reply.slot, "fingerprint")

    def _fail(self, error: CallError) -> None:
        """A call failed, which would go on for ever: a line, and the traceback beside the data."""
        seed = self._doing[error.slot]
        log = self.job.spool.parent / "worker-error.txt"
        log.write_text(error.trace or f"{error.name}: {error.text}\n")
        where = "could not start" if seed is None else f"failed on seed {seed}"
        raise UserError(f"a worker {where}: {error.name}: {error.text} (traceback in {log})") from None
