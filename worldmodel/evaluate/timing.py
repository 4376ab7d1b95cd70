"""How long a policy takes for one observation, and whether the machine was free enough to say so."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from worldmodel.report.stats import quantiles
from worldmodel.rollout.policy import BatchedPolicy, stack
from worldmodel.schema import Arrays

WARM_UP, TIMED = 5, 100
"""Single-observation calls made before and while ``act`` is timed."""


def time_single(policy: BatchedPolicy, samples: list[tuple[Arrays, int]]) -> dict[str, Any]:
    """Milliseconds of ``act`` on one (observation, noise seed) at a time; ``cpu_share``: processor over wall time."""
    if not samples:
        return {**quantiles([]), "n": 0, "cpu_share": 1.0}
    spent, computed = [], 0.0
    for i in range(WARM_UP + TIMED):
        observation, seed = samples[i % len(samples)]
        one = stack([observation])
        began, worked = time.perf_counter(), time.process_time()
        policy.call(one, np.array([seed], np.int64))
        computed += 1000 * (time.process_time() - worked)
        spent.append(1000 * (time.perf_counter() - began))
    return {**quantiles(spent[WARM_UP:]), "n": TIMED, "cpu_share": round(computed / max(sum(spent), 1e-9), 2)}


def crowded(cpu_share: float, device: str) -> list[str]:
    """A note for the report where other programs slowed the policy down, so that its times say little."""
    if device != "cpu" or cpu_share >= 0.8:
        return []
    return [f"the machine was busy: the policy got {100 * cpu_share:.0f} % of a core, so its times are too long"]
