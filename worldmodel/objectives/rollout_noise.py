"""Noise of one training step in rollout mode: of the targets, of the history, and of self-generated steps."""

from collections.abc import Callable

import torch

from worldmodel.flow import NoiseSample
from worldmodel.flow.sampler import grid
from worldmodel.model import WorldModel
from worldmodel.objectives.config import RolloutConfig
from worldmodel.objectives.noise import noise_per_step, normal, uniform
from worldmodel.objectives.self_forcing import COARSE, DRIFT, OWN
from worldmodel.tokens.timesteps import TimestepDistribution

STEPS = 4
"""Most sampling steps of a self-generated step of the history."""


def rollout_noise(
    model: WorldModel,
    config: RolloutConfig,
    law: TimestepDistribution,
    batch: int,
    generator: Callable[[int], torch.Generator],
) -> dict[str, NoiseSample]:
    """Noise samples for `rollout_loss`.

    law: distribution of the next steps' noise; frames and state of a step share a level, as in sampling. generator: the
    step's random numbers for one purpose, by its number. Self-generated steps take 1 to `STEPS` sampling steps.
    """
    times, dim = model.config.window, model.config.state_dim
    _, patches, pixels = shape = model.frames.shape(batch, times)
    frames = noise_per_step(law, shape, generator(0), times)
    device, history, chance = frames.eps.device, generator(2), generator(3)
    first_level = torch.zeros(1, 1, dtype=torch.int64, device=device)
    body = NoiseSample(normal(generator(1), batch, times, dim), frames.levels, torch.arange(times, device=device)[None])
    eps, levels = normal(history, *shape), config.noise * uniform(history, batch, times)
    draws = {"frames": frames, "body": body, "observed": NoiseSample(eps, levels, frames.level_index)}
    before = times - 1 + config.burn_in
    if before and uniform(chance) < config.p_self:
        own = 1 + _integer(chance, before)
        levels = grid(1 + _integer(chance, STEPS), config.shift)[None].to(device)
        for name, tokens, width in (("frames", own * patches // times, pixels), ("body", own, dim)):
            draws[OWN + name] = NoiseSample(normal(chance, batch, tokens, width), levels, first_level.expand(1, tokens))
    if config.history_bias or config.history_mixup:
        bias, mixup = generator(4), generator(5)
        eps = normal(bias, batch, len(model.config.cameras), 3 * (1 + COARSE**2))
        sizes = [_every_other(config.history_bias, batch, bias), _every_other(config.history_mixup, batch, mixup)]
        draws[DRIFT] = NoiseSample(eps, torch.cat(sizes, dim=1), first_level.expand(1, eps.shape[1]))
    return draws


def _integer(source: torch.Generator, count: int) -> int:
    """A random integer from 0 to ``count`` - 1."""
    return int(torch.randint(count, (), generator=source, device=source.device))


def _every_other(most: float, batch: int, source: torch.Generator) -> torch.Tensor:
    """Sizes from U[0, most] for about half of the clips, 0 for the others, (B, 1)."""
    size, off = uniform(source, 2, batch, 1)
    return most * size * (off < 0.5)
