"""Noise of one training step in rollout mode: of the targets, of the history, and of self-generated steps."""

from __future__ import annotations

from collections.abc import Callable

import torch

from worldmodel.flow import NoiseSample
from worldmodel.flow.sampler import grid
from worldmodel.model import WorldModel
from worldmodel.objectives.config import RolloutConfig
from worldmodel.objectives.noise import noise_for_each
from worldmodel.objectives.self_forcing import COARSE, DRIFT, OWN
from worldmodel.tokens.timesteps import TimestepDistribution

STEPS = 4
"""Sampling steps in which the model imagines what it then looks back on, at most."""


def rollout_noise(
    model: WorldModel,
    config: RolloutConfig,
    law: TimestepDistribution,
    batch: int,
    generator: Callable[[int], torch.Generator],
) -> dict[str, NoiseSample]:
    """Noise samples for `rollout_loss`.

    law: distribution of the next steps' noise. generator: the step's random numbers for one purpose, by its number.

    Frames and state of a step share a level, as in sampling. Self-generated steps take 1 to `STEPS` sampling steps,
    drawn at random.
    """
    times, dim = model.config.window, model.config.state_dim
    rows, patches, pixels = model.frames.shape(batch, times)
    frames = noise_for_each(law, (rows, patches, pixels), generator(0), times)
    body = NoiseSample(torch.randn(batch, times, dim, generator=generator(1)), frames.levels, torch.arange(times)[None])
    looking = generator(2)
    eps, levels = torch.randn(frames.eps.shape, generator=looking), torch.rand(batch, times, generator=looking)
    draws = {"frames": frames, "body": body, "observed": NoiseSample(eps, config.noise * levels, frames.level_index)}
    chance = generator(3)
    before = times - 1 + config.burn_in
    if before and torch.rand((), generator=chance) < config.p_self:
        own = int(torch.randint(1, before + 1, (), generator=chance))
        level_index = torch.zeros(1, 1, dtype=torch.int64)
        levels = grid(1 + int(torch.randint(STEPS, (), generator=chance)), config.shift)[None]
        for name, shape in (("frames", (batch, own * patches // times, pixels)), ("body", (batch, own, dim))):
            draws[OWN + name] = NoiseSample(
                torch.randn(shape, generator=chance), levels, level_index.expand(1, shape[1])
            )
    if config.history_bias or config.history_mixup:
        astray = generator(4)
        eps = torch.randn(batch, len(model.config.cameras), 3 * (1 + COARSE**2), generator=astray)
        most = ((config.history_bias, astray), (config.history_mixup, generator(5)))
        levels = torch.cat([_every_other(size, batch, source) for size, source in most], dim=1)
        draws[DRIFT] = NoiseSample(eps, levels, torch.zeros(1, eps.shape[1], dtype=torch.int64))
    return draws


def _every_other(most: float, batch: int, source: torch.Generator) -> torch.Tensor:
    """Sizes from U[0, most] for about half of the clips, 0 for the others, (B, 1)."""
    size, off = torch.rand(2, batch, 1, generator=source)
    return most * size * (off < 0.5)
