"""One training step's ingredients, all drawn from (seed, step): that makes resuming exact."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from worldmodel.data.clips import Clips
from worldmodel.experience import Clip
from worldmodel.flow import MODES, NoiseDraw, ObjectiveConfig, draw_noise
from worldmodel.flow.noise import no_noise
from worldmodel.model import WorldModel
from worldmodel.train.augment import augment
from worldmodel.train.config import TrainConfig

type Loss = Callable[[Clip, str, dict[str, NoiseDraw]], dict[str, Tensor]]


class Batches:
    """The batch of any step: mode, clip and noise, each a function of the seed and the step's number alone."""

    def __init__(self, clips: Clips, model: WorldModel, config: TrainConfig, device: torch.device) -> None:
        self.clips, self.model, self.config, self.device = clips, model, config, device
        shares = np.array([getattr(config.modes, mode) for mode in MODES])
        self.shares = shares / shares.sum()

    def draw(self, step: int) -> tuple[str, Clip, dict[str, NoiseDraw]]:
        """Mode, augmented clip and noise of a step, on the device."""
        rng = np.random.default_rng([self.config.seed, step])
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + step)
        mode = list(MODES)[rng.choice(len(MODES), p=self.shares)]
        windows = self.clips.order(step, self.config.batch, self.config.seed)
        clip = self.clip(windows, mode, rng)
        return mode, augment(clip, self.config.augment, generator), self.noise(mode, len(clip.state), generator)

    def clip(self, windows: np.ndarray, mode: str, rng: np.random.Generator) -> Clip:
        """The windows as a clip on the device; modes with frames take half of them, each with its own moments."""
        at = None
        if MODES[mode].frames != "absent":
            windows = windows[: max(1, len(windows) // 2)]
            moments = np.tile(np.arange(1, self.clips.spec.horizon + 1), (len(windows), 1))
            at = np.sort(rng.permuted(moments, axis=1)[:, : self.config.future], axis=1)
        return self.clips.gather(windows, at).map(lambda array: torch.as_tensor(array).to(self.device))

    def noise(self, mode: str, batch: int, generator: torch.Generator) -> dict[str, NoiseDraw]:
        """Noise for every modality that the mode does not leave out; none for what it gives."""
        roles, laws, model = MODES[mode], self.config.noise, self.model
        dual = self.config.objective.kind == "self_flow"
        draws = self.config.objective.draws if mode == "policy" else 1
        frames = (batch, self.config.future * model.frames.per_time, model.frames.patch**2 * 3)
        actions = (batch * draws, model.config.horizon, model.config.action_dim)
        out = {}
        if roles.actions != "absent":
            split = dual and laws.actions.masked > 0
            wanted = roles.actions == "wanted"
            out["actions"] = draw_noise(laws.actions, actions, generator, split) if wanted else no_noise(actions)
        if roles.frames != "absent":
            wanted = roles.frames == "wanted"
            out["frames"] = draw_noise(laws.frames, frames, generator, dual) if wanted else no_noise(frames)
        return {
            name: NoiseDraw(draw.eps.to(self.device), draw.levels.to(self.device), draw.which.to(self.device))
            for name, draw in out.items()
        }


class _Loss(nn.Module):
    """The model's loss as a module's forward, which is what functional calls can see."""

    def __init__(self, model: WorldModel, teacher: WorldModel | None, objective: ObjectiveConfig) -> None:
        super().__init__()
        self.model, self.teacher, self.objective = model, teacher, objective

    def forward(self, clip: Clip, mode: str, noise: dict[str, NoiseDraw]) -> dict[str, Tensor]:
        return self.model.loss(clip, mode, noise, self.objective, self.teacher)


def losses(model: WorldModel, teacher: WorldModel, config: TrainConfig) -> tuple[Loss, Loss]:
    """The loss function twice: for policy batches, compiled where asked for, and for the rarer other modes.

    Weights are held in float32 and cast to bfloat16 for every step, so that all activations are bfloat16 too (with
    autocast they would not be, and on a CPU their traffic is the cost); gradients arrive in float32.
    """
    whole = _Loss(model, teacher if config.objective.kind == "self_flow" else None, config.objective)

    def loss(clip: Clip, mode: str, noise: dict[str, NoiseDraw]) -> dict[str, Tensor]:
        weights = {name: value.to(torch.bfloat16) for name, value in whole.named_parameters()}
        out: dict[str, Tensor] = torch.func.functional_call(whole, weights, (clip, mode, noise))
        return out

    return (torch.compile(loss, dynamic=False) if config.compile else loss), loss
