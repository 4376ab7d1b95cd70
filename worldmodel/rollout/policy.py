"""A policy in the loop: batches of one size, noise that belongs to a decision, and a stopwatch."""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from worldmodel.schema import Arrays, Policy
from worldmodel.sims.base import InitialState


class Acts(Protocol):
    """Gives chunks for a list of observations; `BatchedPolicy` does for any `Policy`."""

    prefix: int

    def act(
        self, observations: list[Arrays], seeds: list[int], committed: Sequence[np.ndarray | None] | None = None
    ) -> np.ndarray: ...


def noise_seed(seed: int, start: InitialState, decision: int) -> int:
    """Seed of the sampler's noise, below 2**63: set by start and decision, whatever the batch."""
    key = f"{seed}/{start.sha256}/{decision}".encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "little") >> 1


def stack(observations: list[Arrays]) -> dict[str, np.ndarray]:
    """A batch of observations: every array gains a leading axis."""
    return {key: np.stack([observation[key] for observation in observations]) for key in observations[0]}


def history_of(policy: Any) -> dict[str, int]:
    """How many past control steps of each observation key a policy must be shown."""
    return dict(getattr(policy, "history", {}))


class BatchedPolicy:
    """Calls a policy in batches of one fixed size, and keeps how long that took.

    The size is fixed, by repeating rows, because matrix products of another size round differently. seeded: whether a
    policy that takes noise seeds is given them.
    """

    def __init__(self, policy: Policy, batch: int, seeded: bool = True) -> None:
        self.policy, self.batch = policy, batch
        self.milliseconds: list[float] = []
        self.prefix: int = getattr(policy, "prefix", 0)
        """How many committed actions the policy's chunks can continue."""
        self._seeded = seeded and "seeds" in inspect.signature(policy.act).parameters
        policy.reset()

    def act(
        self, observations: list[Arrays], seeds: list[int], committed: Sequence[np.ndarray | None] | None = None
    ) -> Float[np.ndarray, "n chunk_size A"]:
        """Chunks float32 (n, chunk_size, A) for n <= ``batch`` observations with their noise seeds.

        committed: for each the actions under way, float32 (d, A) with d <= ``prefix``, or None, for a policy whose
        chunks continue them.
        """
        rows = [*range(len(observations)), *[0] * (self.batch - len(observations))]
        stacked = stack([observations[row] for row in rows])
        began = time.perf_counter()
        known = None if committed is None else [committed[row] for row in rows]
        chunk = self.call(stacked, np.array([seeds[row] for row in rows], np.int64), known)
        chunk = chunk[:, None] if chunk.ndim == 2 else chunk  # one action each is a chunk of one
        self.milliseconds.append(1000 * (time.perf_counter() - began))
        if chunk.ndim != 3 or len(chunk) != self.batch or not np.isfinite(chunk).all():
            raise ValueError(
                f"policy gave actions of shape {chunk.shape}, expected ({self.batch}, chunk_size, A), all finite"
            )
        return chunk[: len(observations)]

    def call(
        self, stacked: Arrays, seeds: np.ndarray, committed: Sequence[np.ndarray | None] | None = None
    ) -> np.ndarray:
        options: dict[str, Any] = {"seeds": seeds} if self._seeded else {}
        if committed is not None:
            options["committed"] = committed
        return np.asarray(self.policy.act(stacked, **options), np.float32)
