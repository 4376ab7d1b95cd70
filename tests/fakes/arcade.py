"""A simulator that counts, and a policy that must say the count: mixing up slots, chunks or noise ends in an error."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.evaluate.actor import noise_seed
from worldmodel.evaluate.frozen import Starts, Trial
from worldmodel.evaluate.stage import Moment
from worldmodel.schema import STATE, image_key

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


@dataclass(frozen=True)
class CountingStages:
    """``trouble``: what happens to whoever begins episode ``on``, once (a file ``mark`` is left) or always."""

    trouble: str = ""
    on: int = -1
    mark: str = ""

    def __call__(self) -> CountingStage:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "", "simulators must not see CUDA"
        return CountingStage(self)


class CountingStage:
    def __init__(self, spec: CountingStages) -> None:
        self.spec = spec

    def begin(self, trial: Trial) -> Moment:
        self.index, self.count = int(trial.state[0]), 0
        if self.index == self.spec.on and not (self.spec.mark and Path(self.spec.mark).exists()):
            if self.spec.mark:
                Path(self.spec.mark).touch()
            if self.spec.trouble == "hang":
                time.sleep(600)
            if self.spec.trouble == "die":
                os._exit(3)
            if self.spec.trouble == "disk":
                raise OSError(28, "No space left on device", "somewhere")
            raise ValueError("start 2 is already solved; freeze the starts again")
        return Moment(self._look(), 0, False, False)

    def advance(self, actions: np.ndarray, record: bool) -> Moment:
        for action in actions:
            np.testing.assert_array_equal(action[:2], [self.index, self.count], "the simulator was told a wrong count")
            self.count += 1
            if self.count == length_of(self.index):
                course = {"closest": 0.02, "raised": 0.1}
                return Moment(None, self.count, True, succeeds(self.index), course=course)
        return Moment(self._look(), self.count, False, False)

    def film(self, trial: Trial, actions: np.ndarray, path: str) -> Moment:
        self.begin(trial)
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_bytes(b"a video")
        return self.advance(actions, record=True)

    def fingerprint(self) -> dict[str, Any]:
        return FINGERPRINT

    def _look(self) -> dict[str, np.ndarray]:
        frame = np.full((8, 8, 3), self.count, np.uint8)
        return {STATE: np.array([self.index, self.count, 0, 0], np.float32), SCENE: frame, WRIST: frame}


@dataclass
class CountingPolicy:
    """Checks the noise seed of every row; ``interrupt_after`` calls it is as if Ctrl-C were pressed."""

    trials: list[Trial]
    batch: int
    interrupt_after: int = -1
    horizon: int = 6
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
            assert seed == noise_seed(0, self.trials[index], count // EXECUTE)
            self.seen.add(int(index))
            chunks.append([[index, count + k, 0, 0] for k in range(self.horizon)])
        return np.array(chunks, np.float32)
