"""One training step's ingredients, all drawn from (seed, step): that makes resuming exact."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from worldmodel.backbone import fast_dtype
from worldmodel.data.clips import Clips
from worldmodel.flow import NoiseSample
from worldmodel.model import WorldModel
from worldmodel.objectives import ObjectiveConfig
from worldmodel.objectives.training import loss as loss_of
from worldmodel.schema import Clip
from worldmodel.train.config import TrainConfig
from worldmodel.train.step_rng import IMITATES, BatchPlan, StepRng

if TYPE_CHECKING:
    from worldmodel.data.on_device import ClipsOnDevice
    from worldmodel.objectives.next_step import NextStep

type Loss = Callable[[Clip | NextStep, str, dict[str, NoiseSample]], dict[str, Tensor]]


class Batches(StepRng):
    """The batch of any step: mode, clip and noise, each a function of the seed and the step's number alone."""

    def __init__(
        self, clips: Clips | ClipsOnDevice, model: WorldModel, config: TrainConfig, device: torch.device
    ) -> None:
        super().__init__(model, config, device)
        self.clips = clips

    def draw(self, step: int) -> tuple[str, Clip, dict[str, NoiseSample]]:
        """Mode, augmented clip and noise of a step, on the device."""

        def load(plan: BatchPlan) -> Clip:
            imitates = plan.mode in IMITATES
            windows = self.clips.order(step, self.config.batch, self.config.seed, demonstrated=imitates)
            return self.load(windows, plan)

        return self.make(step, load, self.config.batch)

    def clip(self, windows: np.ndarray, mode: str, rng: np.random.Generator) -> Clip:
        """As many of the windows as the mode takes, as a clip on the device, each with its own time steps."""
        plan = self.plan(mode, len(windows), rng)
        return self.finish(self.load(windows, plan), plan, rng)

    def load(self, windows: np.ndarray, plan: BatchPlan) -> Clip:
        """The arrays that ``plan`` needs, NumPy, of the first windows."""
        return self.clips.gather(windows[: plan.rows], plan.at, states=plan.states, done=plan.executed)


class _Loss(nn.Module):
    """The model's loss as a module's forward, which is what functional calls can see."""

    def __init__(self, model: WorldModel, teacher: WorldModel | None, objective: ObjectiveConfig) -> None:
        super().__init__()
        self.model, self.teacher, self.objective = model, teacher, objective

    def forward(self, clip: Clip | NextStep, mode: str, noise: dict[str, NoiseSample]) -> dict[str, Tensor]:
        if not isinstance(clip, Clip):
            from worldmodel.objectives.next_step import next_step_loss  # here: few runs roll out

            return next_step_loss(self.model, clip, self.objective)
        return loss_of(self.model, clip, mode, noise, self.objective, self.teacher)


def losses(model: WorldModel, teacher: WorldModel, config: TrainConfig) -> tuple[Loss, Loss]:
    """The loss function twice: compiled (``compile=true``) for policy steps, and as it is.

    Weights are held in float32 and, where bfloat16 is fast, cast to it for every step, so that all activations are
    bfloat16 too (with autocast they would not be); gradients arrive in float32.
    """
    whole = _Loss(model, teacher if config.objective.spec.teacher != "none" else None, config.objective)
    dtype = fast_dtype(next(model.parameters()).device)

    def loss(clip: Clip | NextStep, mode: str, noise: dict[str, NoiseSample]) -> dict[str, Tensor]:
        if dtype == torch.float32:
            return whole(clip, mode, noise)
        weights = {name: value.to(dtype) for name, value in whole.named_parameters()}
        out: dict[str, Tensor] = torch.func.functional_call(whole, weights, (clip, mode, noise))
        return out

    return (torch.compile(loss, dynamic=False) if config.compile else loss), loss


def ahead_of(device: torch.device) -> int:
    """How many batches are made ahead: 4 for a GPU, none where the processor that makes them is the one that learns."""
    return 4 if device.type == "cuda" else 0


def upcoming[Batch](draw: Callable[[int], Batch], first: int, last: int, ahead: int) -> Generator[Batch, None, None]:
    """``draw(first)`` to ``draw(last - 1)``, in order, up to ``ahead`` of them in the making, each in a thread.

    ``draw`` must depend on the step's number alone. An error in a thread is raised when its batch's turn comes.
    """
    if not ahead:
        yield from map(draw, range(first, last))
        return
    pool = ThreadPoolExecutor(ahead, "batches")
    try:
        waiting = deque(pool.submit(draw, step) for step in range(first, min(first + ahead, last)))
        for step in range(first, last):
            batch = waiting.popleft().result()
            if step + ahead < last:
                waiting.append(pool.submit(draw, step + ahead))
            yield batch
    finally:
        pool.shutdown(cancel_futures=True)
