"""Whether a task has succeeded in imagined frames: the task's own rule, on poses read from them."""

from collections import deque

import numpy as np
import torch

from worldmodel.imagine.pose import PoseReader
from worldmodel.sims.can.scene import CAN_HALF_HEIGHT, load_scene
from worldmodel.sims.can.tasks import LIFT, REST, SLOW, get_task, shows_can
from worldmodel.sims.object_stats import ObjectStats

SPAN = 5
"""Control steps over which the can's speed is taken: positions that are read are a few millimetres off."""


class Judge:
    """B episodes of one task, judged step by step. A can that is in no camera's view is in no place.

    success: bool (B,), whether the condition has held for as many control steps as the task wants.
    """

    def __init__(self, task: str, reader: PoseReader, batch: int, rate: float) -> None:
        self.task, self.reader, self.rate = get_task(task), reader, rate
        scene = load_scene(self.task.scene)
        self.bin, self.bin_moves = scene.bin, scene.bin_moves
        self.held_for = np.zeros(batch, np.int64)
        self.success = np.zeros(batch, bool)
        self.stats: list[ObjectStats | None] = [None] * batch
        self.past = [deque[np.ndarray](maxlen=SPAN + 1) for _ in range(batch)]

    def begin(self, row: int, frames: torch.Tensor) -> None:
        """A new episode in ``row``; frames uint8 (C, H, W, 3)."""
        pose = self.reader.read(frames[None])
        can = pose.can[0].numpy()
        self.held_for[row], self.success[row] = 0, False
        self.stats[row] = ObjectStats(pose.gripper[0].numpy(), can)
        self.past[row].clear()
        self.past[row].append(can)

    def update(self, frames: torch.Tensor) -> None:
        """One more control step of all episodes that have begun; frames uint8 (B, C, H, W, 3)."""
        pose, seen = self.reader.read(frames), shows_can(frames.numpy())
        can, gripper, place, held = (getattr(pose, name).numpy() for name in ("can", "gripper", "bin", "held"))
        for row, stats in enumerate(self.stats):
            if stats is None:
                continue
            stats.update(gripper[row], can[row])
            past = self.past[row]
            past.append(can[row])
            speed = float(np.linalg.norm(past[-1] - past[0])) * self.rate / max(len(past) - 1, 1)
            holds = bool(seen[row]) and self._holds(can[row], place[row], bool(held[row] >= 0.5), speed)
            self.held_for[row] = self.held_for[row] + 1 if holds else 0
            self.success[row] |= self.held_for[row] >= self.task.hold_steps

    def _holds(self, can: np.ndarray, place: np.ndarray, held: bool, speed: float) -> bool:
        """The task's condition: `lifted` or `placed` of `worldmodel.sims.can.tasks`, for a can that stands upright."""
        if self.task.name == "lift_can":
            return held and float(can[2]) >= REST + LIFT
        off = np.abs(can[:2] - (place if self.bin_moves else (self.bin.x, self.bin.y)))
        inside = off[0] <= self.bin.half_x and off[1] <= self.bin.half_y
        low = float(can[2]) - CAN_HALF_HEIGHT < self.bin.rim
        return bool(inside and low and not held and speed < SLOW)
