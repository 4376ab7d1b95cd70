"""Simulators that turn seeds into episodes, one to a process; a seed whose process is lost is tried again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from worldmodel.collect import spool
from worldmodel.collect.config import EXPERTS, CollectionSpec
from worldmodel.collect.demonstrate import demonstrate
from worldmodel.config import UserError
from worldmodel.data import layout
from worldmodel.processes import ATTEMPTS, CallError, Pool
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
    """A pool that turns seeds into results. ``idle``: free slots; ``fingerprint``: set once the first worker is up."""

    def __init__(self, job: Job, count: int) -> None:
        self.job, self.idle = job, list[int]()
        self.fingerprint: dict[str, Any] | None = None
        self._failures: Counter[int | None] = Counter()
        self._doing: dict[int, int | None] = {}
        self._pool = Pool(partial(Worker, job), count, count, job.timeout, "a worker", limit=float("inf"))
        for slot in range(count):
            self._ask(slot, None)

    @property
    def replaced(self) -> int:
        return self._pool.replaced

    def submit(self, seed: int) -> None:
        self._ask(self.idle.pop(0), seed)

    def poll(self, timeout: float) -> list[tuple[int, bool]]:
        """Seeds tried within ``timeout`` seconds and whether their episodes are kept, which wait in the spool.

        UserError where work cannot go on, OSError on a full disk. A seed whose worker was lost is tried again.
        """
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
                self._failures[seed] += 1
                if self._failures[seed] >= ATTEMPTS:
                    what = f"{reply.lost} {ATTEMPTS} times {'starting up' if seed is None else f'on seed {seed}'}"
                    raise UserError(f"a worker {what}; `worldmodel doctor` probes the renderer")
                self._ask(reply.slot, seed)
                continue
            self.idle.append(reply.slot)
            if seed is None:
                self.fingerprint = self.fingerprint or reply.value
            else:
                results.append((seed, bool(reply.value)))
        return results

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all workers at once; what they finished is in the spool."""
        self._pool.close()

    def _ask(self, slot: int, seed: int | None) -> None:
        """For the episode of a seed; without one for the simulators' fingerprint, which starts them."""
        self._doing[slot] = seed
        if seed is None:
            self._pool.ask(slot, "fingerprint")
        else:
            self._pool.ask(slot, "record", seed)

    def _fail(self, error: CallError) -> NoReturn:
        """A call failed, which would go on for ever: a line, and the traceback beside the data."""
        seed = self._doing[error.slot]
        if error.name == UserError.__name__:
            raise UserError(error.text) from None
        log = self.job.spool.parent / "worker-error.txt"
        log.write_text(error.trace or f"{error.name}: {error.text}\n")
        where = "could not start" if seed is None else f"failed on seed {seed}"
        raise UserError(f"a worker {where}: {error.name}: {error.text} (traceback in {log})") from None
