"""What one LeRobot batch teaches: a mode, moments and noise are drawn for it as in ``worldmodel train``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lerobot_policy_worldmodel.batches import Batch, Pushes, clip, first_rows
from lerobot_policy_worldmodel.configuration_worldmodel import WorldModelConfig
from worldmodel.flow import MODES, NoiseDraw
from worldmodel.model import WorldModel
from worldmodel.schema import Clip
from worldmodel.tokens.language import SENTENCE
from worldmodel.train.augment import augment
from worldmodel.train.draws import Draws
from worldmodel.train.step import losses


class Lessons(Draws):
    """Losses of batches that somebody else loads; all randomness follows from the seed and the step's number."""

    def __init__(self, policy: WorldModelConfig, model: WorldModel, teacher: WorldModel, pushes: Pushes | None) -> None:
        device = next(model.parameters()).device
        super().__init__(model, policy.training(), device)
        self.policy, self.pushes = policy, pushes
        self.fast, self.plain = losses(model, teacher, self.config)

    def loss(self, batch: Batch, step: int, training: bool) -> tuple[str, dict[str, Tensor]]:
        """Mode and losses of a batch; held-out batches are always judged in policy mode, and not augmented."""
        rng = np.random.default_rng([self.config.seed, step])
        mode = self.mode(rng) if training else "policy"
        lesson = self.lesson(batch, mode, rng)
        if training:
            generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + step)
            lesson = augment(lesson, self.config.augment, generator)
        noise: dict[str, NoiseDraw] = self.noise(mode, len(lesson.state), step)
        return mode, (self.fast if mode == "policy" else self.plain)(lesson, mode, noise)

    def lesson(self, batch: Batch, mode: str, rng: np.random.Generator) -> Clip:
        """The batch as a clip; modes with frames take half of it, each row with its own two of the loaded moments."""
        choice, moments = None, self.policy.moments
        if MODES[mode].frames != "absent":
            batch = first_rows(batch, max(1, len(batch["action"]) // 2))
            order = np.tile(np.arange(len(moments)), (len(batch["action"]), 1))
            choice = np.sort(rng.permuted(order, axis=1)[:, : self.config.future], axis=1)
        lesson = clip(batch, self.model, self.pushes, choice, moments)
        if self.paraphrases is not None:
            said = self.paraphrases.draw(lesson.task.cpu().numpy(), rng)
            lesson = replace(lesson, more={**lesson.more, SENTENCE: torch.as_tensor(said).to(self.device)})
        return lesson
