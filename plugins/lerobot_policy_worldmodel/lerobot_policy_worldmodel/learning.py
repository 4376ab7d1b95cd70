"""The losses of LeRobot's batches: drawn for and computed by the code of ``worldmodel train``."""

from __future__ import annotations

from torch import Tensor

from lerobot_policy_worldmodel.batches import Batch, StepTable, clip
from lerobot_policy_worldmodel.configuration_worldmodel import WorldModelConfig
from worldmodel.flow import NoiseSample
from worldmodel.model import WorldModel
from worldmodel.schema import ACTION, Clip
from worldmodel.train.step import losses
from worldmodel.train.step_rng import BatchPlan, StepRng


class LeRobotDraws(StepRng):
    """Batches that LeRobot loads; mode, future steps, noise and augmentation follow from seed and step number."""

    def __init__(
        self, policy: WorldModelConfig, model: WorldModel, teacher: WorldModel, recorded: StepTable | None
    ) -> None:
        super().__init__(model, policy.training(), next(model.parameters()).device)
        self.steps, self.recorded = policy.later_steps, recorded
        self.fast, self.plain = losses(model, teacher, self.config)

    def draw(self, batch: Batch, step: int) -> tuple[str, Clip, dict[str, NoiseSample]]:
        """Mode, augmented clip and noise of a training step."""

        def load(plan: BatchPlan) -> Clip:
            return clip(batch, self.model, plan, self.steps, self.recorded)

        return self.make(step, load, len(batch[ACTION]), self.steps)

    def loss(self, batch: Batch, step: int, training: bool) -> tuple[str, dict[str, Tensor]]:
        """Mode and losses of a batch; held-out batches are always judged in policy mode, and not augmented."""
        if training:
            mode, drawn, noise = self.draw(batch, step)
            return mode, (self.fast if mode == "policy" else self.plain)(drawn, mode, noise)
        plan = BatchPlan("policy", len(batch[ACTION]))
        still = self.finish(clip(batch, self.model, plan, self.steps, self.recorded), plan, self.rng(step))
        return "policy", self.plain(still, "policy", self.noise("policy", len(still.state), step))
