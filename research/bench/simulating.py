"""How many control steps a second the env gives with its cameras, on all cores at once and without a policy."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np

from worldmodel.config import UserError
from worldmodel.processes import Pool
from worldmodel.sims.base import InitialState, SimulatorSpec
from worldmodel.sims.make import make

HOLD = 10
"""Steps for which a random target is held, so that the arm really moves."""


class Timed:
    """One simulator that is driven at random and drawn at every step."""

    def __init__(self, spec: SimulatorSpec) -> None:
        self.simulator, self.random = make(spec), np.random.default_rng(0)

    def begin(self, seed: int) -> None:
        """Warm up."""
        self.seed, self.random = seed, np.random.default_rng(seed)
        self.simulator.reset(InitialState(0, seed))
        self._hold()
        self._hold()

    def measure(self, seconds: float) -> float:
        """Control steps per second."""
        start, steps = time.perf_counter(), 0
        while (spent := time.perf_counter() - start) < seconds:
            steps += self._hold()
        return steps / spent

    def _hold(self) -> int:
        action = self.random.uniform([0.3, -0.3, 0.05, -1], [0.65, 0.25, 0.3, 1]).astype(np.float32)
        for _ in range(HOLD):
            self.simulator.step(action, draw=True)
            self.simulator.observe()
            if self.simulator.success or self.simulator.over:
                self.simulator.reset(InitialState(0, self.seed))
        return HOLD


def simulate(task: str, size: int, processes: int, seconds: float, timeout: float) -> dict[str, Any]:
    """Control steps per second summed over spawned ``processes``, each with one of our tasks and both cameras.

    Raises OSError where a process dies or is silent for ``timeout`` seconds.
    """
    opened = partial(Timed, SimulatorSpec(task, size=size))
    try:
        with Pool(opened, processes, processes, timeout + seconds, limit=1) as pool:
            for method in ("begin", "measure"):
                for slot in range(processes):
                    pool.ask(slot, method, *((slot,) if method == "begin" else (seconds,)))
                replies = list(pool.answers())
    except UserError as error:
        raise OSError(f"{error}; see `worldmodel doctor`") from None
    rate = round(sum(reply.value for reply in replies), 1)
    return {"steps_per_second": rate, "processes": processes, "size": size, "task": task}
