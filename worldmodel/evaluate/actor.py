"""The policy's side of an evaluation: batches of one size, noise that belongs to a decision, and a stopwatch."""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from worldmodel.evaluate.frozen import Trial
from worldmodel.report.stats import quantiles
from worldmodel.schema import Arrays, Policy

WARM_UP, TIMED = 5, 100
"""Single-observation calls made before and while ``act`` is timed."""


def noise_seed(seed: int, trial: Trial, decision: int) -> int:
    """Seed of the sampler's noise, below 2**63: set by start and decision, whatever the batch."""
    key = f"{seed}/{trial.sha256}/{decision}".encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "little") >> 1


class Actor:
    """Asks a policy for chunks in batches of one fixed size, and keeps how long that took.

    The size is fixed, by repeating rows, because matrix products of another size round differently.
    """

    def __init__(self, policy: Policy, batch: int) -> None:
        self.policy, self.batch = policy, batch
        self.milliseconds: list[float] = []
        self.prefix: int = getattr(policy, "prefix", 0)
        """How many committed actions the policy's chunks can continue."""
        self._seeded = "seeds" in inspect.signature(policy.act).parameters
        policy.reset()

    def act(
        self, observations: list[Arrays], seeds: list[int], committed: Sequence[np.ndarray | None] | None = None
    ) -> np.ndarray:
        """Chunks float32 (n, horizon, A) for n <= ``batch`` observations with their noise seeds.

        committed: for each the actions under way, float32 (d, A) with d <= ``prefix``, or None, for a policy whose
        chunks continue them.
        """
        rows = [*range(len(observations)), *[0] * (self.batch - len(observations))]
        stacked = stack([observations[row] for row in rows])
        began = time.perf_counter()
        known = None if committed is None else [committed[row] for row in rows]
        chunk = self._call(stacked, np.array([seeds[row] for row in rows], np.int64), known)
        self.milliseconds.append(1000 * (time.perf_counter() - began))
        if chunk.ndim != 3 or len(chunk) != self.batch or not np.isfinite(chunk).all():
            raise ValueError(
                f"policy gave actions of shape {chunk.shape}, expected ({self.batch}, horizon, A), all finite"
            )
        return chunk[: len(observations)]

    def time_single(self, samples: list[tuple[Arrays, int]]) -> dict[str, Any]:
        """Milliseconds of ``act`` on one (observation, noise seed) at a time, after warming up: p50, p95, count.

        ``cpu_share``: processor time over wall-clock time, 1 or more where nothing else wanted the machine.
        """
        if not samples:
            return {**quantiles([]), "n": 0, "cpu_share": 1.0}
        spent, computed = [], 0.0
        for i in range(WARM_UP + TIMED):
            observation, seed = samples[i % len(samples)]
            one = stack([observation])
            began, worked = time.perf_counter(), time.process_time()
            self._call(one, np.array([seed], np.int64))
            computed += 1000 * (time.process_time() - worked)
            spent.append(1000 * (time.perf_counter() - began))
        return {**quantiles(spent[WARM_UP:]), "n": TIMED, "cpu_share": round(computed / max(sum(spent), 1e-9), 2)}

    def _call(
        self, stacked: Arrays, seeds: np.ndarray, committed: Sequence[np.ndarray | None] | None = None
    ) -> np.ndarray:
        options: dict[str, Any] = {"seeds": seeds} if self._seeded else {}
        if committed is not None:
            options["committed"] = committed
        return np.asarray(self.policy.act(stacked, **options), np.float32)


def crowded(cpu_share: float, device: str) -> list[str]:
    """A note for the report where other programs slowed the policy down, so that its times say little."""
    if device != "cpu" or cpu_share >= 0.8:
        return []
    return [f"the machine was busy: the policy got {100 * cpu_share:.0f} % of a core, so its times are too long"]


def stack(observations: list[Arrays]) -> dict[str, np.ndarray]:
    """A batch of observations: every array gains a leading axis."""
    return {key: np.stack([observation[key] for observation in observations]) for key in observations[0]}
