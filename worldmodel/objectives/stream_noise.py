"""The noise of one training step in stream mode: of what is wanted, of what is looked back on, and of own moments."""

from __future__ import annotations

from collections.abc import Callable

import torch

from worldmodel.flow import NoiseDraw
from worldmodel.flow.sampler import grid
from worldmodel.model import WorldModel
from worldmodel.objectives.config import StreamConfig
from worldmodel.objectives.noise import draw_moments
from worldmodel.objectives.self_forcing import COARSE, DRIFT, OWN
from worldmodel.tokens.noise_law import NoiseLaw

STEPS = 4
"""Sampling steps in which the model imagines what it then looks back on, at most."""


def stream_noise(
    model: WorldModel, config: StreamConfig, law: NoiseLaw, batch: int, generator: Callable[[int], torch.Generator]
) -> dict[str, NoiseDraw]:
    """Draws for `stream_loss`.

    law: of the noise of the next moments. generator: gives the step's random numbers for one purpose, by its number.

    Frames and state of one next moment share a level, as they do when it is sampled. The model's own moments are
    imagined in 1 to `STEPS` sampling steps, so that it learns to go on from what any of them leaves.
    """
    times, dim = model.config.window, model.config.state_dim
    rows, patches, pixels = model.frames.shape(batch, times)
    frames = draw_moments(law, (rows, patches, pixels), generator(0), times)
    body = NoiseDraw(torch.randn(batch, times, dim, generator=generator(1)), frames.levels, torch.arange(times)[None])
    looking = generator(2)
    eps, levels = torch.randn(frames.eps.shape, generator=looking), torch.rand(batch, times, generator=looking)
    draws = {"frames": frames, "body": body, "observed": NoiseDraw(eps, config.noise * levels, frames.which)}
    chance = generator(3)
    before = times - 1 + config.lead
    if before and torch.rand((), generator=chance) < config.own:
        own = int(torch.randint(1, before + 1, (), generator=chance))
        which = torch.zeros(1, 1, dtype=torch.int64)
        levels = grid(1 + int(torch.randint(STEPS, (), generator=chance)), config.shift)[None]
        for name, shape in (("frames", (batch, own * patches // times, pixels)), ("body", (batch, own, dim))):
            draws[OWN + name] = NoiseDraw(torch.randn(shape, generator=chance), levels, which.expand(1, shape[1]))
    if config.drift or config.fade:
        astray = generator(4)
        eps = torch.randn(batch, len(model.config.cameras), 3 * (1 + COARSE**2), generator=astray)
        most = ((config.drift, astray), (config.fade, generator(5)))
        levels = torch.cat([_every_other(size, batch, source) for size, source in most], dim=1)
        draws[DRIFT] = NoiseDraw(eps, levels, torch.zeros(1, eps.shape[1], dtype=torch.int64))
    return draws


def _every_other(most: float, batch: int, source: torch.Generator) -> torch.Tensor:
    """Sizes from U[0, most] for about half of the clips, 0 for the others, (B, 1)."""
    size, off = torch.rand(2, batch, 1, generator=source)
    return most * size * (off < 0.5)
