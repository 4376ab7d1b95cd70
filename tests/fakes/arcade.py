"""A simulator that counts, and a policy that must say the count: mixing up slots, chunks or noise ends in an error."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.evaluate.initial_states import Starts
from worldmodel.rollout.policy import noise_seed
from worldmodel.schema import STATE, image_key
from worldmodel.sims.base import EnvInfo, InitialState, Simulator, SimulatorSpec

SCENE, WRIST = image_key("scene"), image_key("wrist")
EXECUTE = 4
FINGERPRINT = {"mujoco": "1", "scene_sha256": "s", "size": 8, "cameras": ["scene", "wrist"], "gl": "none"}


def length_of(index: int) -> int:
    """Steps of an episode."""
    return 5 + index % 7


def succeeds(index: int) -> bool:
    return index % 5 != 3


def starts_of(episodes: int, task: str = "count") -> Starts:
    states = np.stack([np.array([i, 0.5], np.float64) for i in range(episodes)])
    return Starts(task, states, tuple(range(episodes)), {"mujoco": "1", "scene_sha256": "s"})


def counting(trouble: str = "", on: int = -1, mark: str = "") -> SimulatorSpec:
    """``trouble``: what happens to whoever begins episode ``on``, once (a file ``mark`` is left) or always."""
    return SimulatorSpec(f"count:{trouble}:{on}:{mark}", size=8, kind="arcade:CountingSimulator")


class CountingSimulator(Simulator):
    def __init__(self, spec: SimulatorSpec) -> None:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "", "simulators must not see CUDA"
        _, self.trouble, on, self.mark = spec.task.split(":")
        self.on, self.info = int(on), EnvInfo(spec.task, ("scene", "wrist"), 8, 20.0, 12, 4, 4, "counted")

    def reset(self, start: InitialState) -> None:
        self.index, self.count, self.success, self.over = int(start.state[0]), 0, False, False
        if self.index == self.on and not (self.mark and Path(self.mark).exists()):
            if self.mark:
                Path(self.mark).touch()
            if self.trouble == "hang":
                time.sleep(600)
            if self.trouble == "die":
                os._exit(3)
            if self.trouble == "disk":
                raise OSError(28, "No space left on device", "somewhere")
            raise ValueError("start 2 is already solved; freeze the starts again")

    def step(self, action: np.ndarray, draw: bool = False) -> None:
        np.testing.assert_array_equal(action[:2], [self.index, self.count], "the simulator was told a wrong count")
        self.count += 1
        self.over = self.count == length_of(self.index)
        self.success = self.over and succeeds(self.index)

    def observe(self, draw: bool = True) -> dict[str, np.ndarray]:
        frame = np.full((8, 8, 3), self.count, np.uint8)
        return {STATE: np.array([self.index, self.count, 0, 0], np.float32), SCENE: frame, WRIST: frame}

    def stats(self) -> dict[str, Any]:
        return {"closest": 0.02, "raised": 0.1}

    def fingerprint(self) -> dict[str, Any]:
        return FINGERPRINT


@dataclass
class CountingPolicy:
    """Checks the noise seed of every row; ``interrupt_after`` calls it is as if Ctrl-C were pressed."""

    initial_states: list[InitialState]
    batch: int
    interrupt_after: int = -1
    chunk_size: int = 6
    calls: int = 0
    seen: set[int] = field(default_factory=set)

    def reset(self) -> None: ...

    def act(self, observations: Any, seeds: np.ndarray) -> np.ndarray:
        if self.calls == self.interrupt_after:
            raise KeyboardInterrupt
        self.calls += 1
        states = observations[STATE]
        assert len(states) in (self.batch, 1), "batches have one size; `act` is timed one by one"
        chunks = []
        for (index, count, *_), seed in zip(states.astype(int).tolist(), seeds, strict=True):
            assert seed == noise_seed(0, self.initial_states[index], count // EXECUTE)
            self.seen.add(int(index))
            chunks.append([[index, count + k, 0, 0] for k in range(self.chunk_size)])
        return np.array(chunks, np.float32)
