"""How much noise each token gets while training."""

import torch
from jaxtyping import Float
from torch import Tensor

from worldmodel.flow import NoiseSample
from worldmodel.flow.sampler import REFINE
from worldmodel.objectives.config import ObservationNoise
from worldmodel.objectives.objective import Objective
from worldmodel.tokens.timesteps import TimestepDistribution

NEARER = 0.2
"""SRA's teacher is up to this much closer to the data than its student."""


def uniform(generator: torch.Generator, *shape: int) -> Tensor:
    """Float32 from U[0, 1), on the generator's device."""
    return torch.rand(shape, generator=generator, device=generator.device)


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Standard normal float32, on the generator's device."""
    return torch.randn(shape, generator=generator, device=generator.device)


def draw_levels(law: TimestepDistribution, batch: int, generator: torch.Generator) -> Float[Tensor, " B"]:
    """One level per sample, float32 in (0, 1]."""
    chance = uniform(generator, batch, 3)
    level = torch.sigmoid(law.mean + law.std * normal(generator, batch))
    level = torch.where(chance[:, 0] < law.p_high, 0.95 + 0.05 * chance[:, 1], level)
    return torch.where(chance[:, 2] < law.p_max, 1.0, level).clamp(1e-3, 1.0)


def draw_noise(
    law: TimestepDistribution, shape: tuple[int, int, int], generator: torch.Generator, spec: Objective, frames: int = 1
) -> NoiseSample:
    """Noise for a batch of shape (B, N, d), distributed over its tokens as the objective says.

    The noise sample and the first level come first, so that they are the same for every objective. ``frames``: how many
    the tokens belong to, in order; with one level per ``frame`` each has its own. A modality whose ``law.masked`` is 0
    always has one level, the teacher's too.
    """
    batch, tokens, _ = shape
    eps = normal(generator, *shape)
    levels, nearer = [draw_levels(law, batch, generator)], None
    level_index = torch.zeros(1, tokens, dtype=torch.int64, device=eps.device)
    if spec.levels == "dual" and law.masked > 0:
        levels.append(draw_levels(law, batch, generator))
        level_index = (uniform(generator, batch, tokens) < law.masked).long()
    if spec.levels == "frame" and frames > 1:
        levels += [draw_levels(law, batch, generator) for _ in range(frames - 1)]
        level_index = _per_step(frames, eps)
    if spec.teacher == "nearer" and law.masked > 0:
        nearer = (levels[0] - NEARER * uniform(generator, batch)).clamp(min=0)[:, None]
    draw = NoiseSample(eps, torch.stack(levels, dim=1), level_index, nearer)
    return _give_prefix(draw, law.prefix, generator) if law.prefix else draw


def noise_per_step(
    law: TimestepDistribution, shape: tuple[int, int, int], generator: torch.Generator, steps: int
) -> NoiseSample:
    """Noise of (B, N, d) with a level for each of ``steps`` time steps, whose tokens follow one another."""
    eps = normal(generator, *shape)
    levels = draw_levels(law, shape[0] * steps, generator).view(-1, steps)
    return NoiseSample(eps, levels, _per_step(steps, eps))


def _per_step(steps: int, eps: Tensor) -> Tensor:
    """Which of ``steps`` levels each token of ``eps`` has, (1, N)."""
    return torch.arange(steps, device=eps.device).repeat_interleave(eps.shape[1] // steps)[None]


def _give_prefix(draw: NoiseSample, most: int, generator: torch.Generator) -> NoiseSample:
    """Give 0 to ``most`` first tokens of each sample clean, uniformly (arXiv 2512.05964)."""
    batch, tokens = draw.eps.shape[:2]
    committed = torch.randint(most + 1, (batch, 1), generator=generator, device=generator.device)
    given = torch.arange(tokens, device=committed.device) < committed
    level_index = torch.where(given, draw.levels.shape[1], draw.level_index)
    levels = torch.cat([draw.levels, draw.levels.new_zeros(batch, 1)], 1)
    return NoiseSample(draw.eps, levels, level_index, draw.nearer, given=True)


def draw_regression(shape: tuple[int, int, int], generator: torch.Generator, spec: Objective) -> NoiseSample:
    """A regression's input: zeros at level 1; for MIP every other row the target mixed with noise at `REFINE`."""
    batch, tokens, _ = shape
    eps = normal(generator, *shape)
    refine = torch.arange(batch, device=eps.device) % spec.passes == 1
    levels = torch.where(refine, REFINE, 1.0)[:, None]
    level_index = torch.zeros(1, tokens, dtype=torch.int64, device=eps.device)
    return NoiseSample(eps * refine[:, None, None], levels, level_index)


def draw_observed(
    law: ObservationNoise, shape: tuple[int, int, int], generator: torch.Generator, spec: Objective
) -> NoiseSample | None:
    """Noise for the observed frames' patches, (B, N, d); None where they stay clean."""
    masked = law.masked if spec.levels == "dual" else 0.0
    if law.high == 0 and masked == 0:
        return None
    batch, tokens, _ = shape
    eps = normal(generator, *shape)
    levels = torch.stack([law.high * uniform(generator, batch), uniform(generator, batch)], 1)
    level_index = (uniform(generator, batch, tokens) < masked).long()
    if not masked:
        return NoiseSample(eps, levels[:, :1], torch.zeros_like(level_index[:1]))
    return NoiseSample(eps, levels, level_index)
