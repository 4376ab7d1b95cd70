"""The scripted expert dressed as a policy: it knows which start and decision a noise seed stands for."""

from __future__ import annotations

from typing import Any

import numpy as np

from worldmodel import envs
from worldmodel.rollout.policy import noise_seed
from worldmodel.schema import STATE
from worldmodel.sims.base import InitialState
from worldmodel.sims.can.expert import Expert


class ExpertPolicy:
    """Plays every episode in an env of its own, chunk by chunk, and checks that the simulators see the same."""

    chunk_size = 16

    def __init__(self, task: str, initial_states: list[InitialState], execute: int = 8, seed: int = 0) -> None:
        self.env = envs.make(task, render_images=False)
        self.env.reset(seed=0)
        self.expert, self.execute = Expert(self.env, seed=0), execute
        self.known = {noise_seed(seed, start, n): (start, n) for start in initial_states for n in range(60)}
        self.chunks: dict[int, np.ndarray] = {}
        self.states: dict[tuple[int, int], np.ndarray] = {(start.index, 0): start.state for start in initial_states}

    def reset(self) -> None: ...

    def act(self, observations: Any, seeds: np.ndarray) -> np.ndarray:
        return np.stack([self._chunk(state, int(seed)) for state, seed in zip(observations[STATE], seeds, strict=True)])

    def imagine(self, observations: Any, actions: np.ndarray, steps: list[int]) -> dict[str, np.ndarray]:
        """No imagination: the last frame, again and again."""
        cameras = {key: value for key, value in observations.items() if "images" in key}
        return {key: np.repeat(value[:, None], len(steps), axis=1) for key, value in cameras.items()}

    def _chunk(self, seen: np.ndarray, seed: int) -> np.ndarray:
        if seed in self.chunks:  # timing asks the same again
            return self.chunks[seed]
        start, decision = self.known[seed]
        self.env.set_state(self.states[start.index, decision])
        np.testing.assert_array_equal(seen, self.env.observe()[STATE], "the simulator went another way")
        chunk = []
        for step in range(self.chunk_size):
            if step == self.execute:
                self.states[start.index, decision + 1] = self.env.get_state()
            chunk.append(self.expert.act().label)
            self.env.step(chunk[-1])
        self.chunks[seed] = np.stack(chunk)
        return self.chunks[seed]
