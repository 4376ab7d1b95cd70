"""How much noise each token gets while training."""

from __future__ import annotations

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


def draw_levels(law: TimestepDistribution, batch: int, generator: torch.Generator) -> Float[Tensor, " B"]:
    """One level per sample, float32 in (0, 1]."""
    uniform = torch.rand(batch, 3, generator=generator, device=generator.device)
    level = torch.sigmoid(law.mean + law.std * torch.randn(batch, generator=generator, device=generator.device))
    level = torch.where(uniform[:, 0] < law.p_high, 0.95 + 0.05 * uniform[:, 1], level)
    return torch.where(uniform[:, 2] < law.p_max, 1.0, level).clamp(1e-3, 1.0)


def draw_noise(
    law: TimestepDistribution,
    shape: tuple[int, int, int],
    generator: torch.Generator,
    spec: Objective,
    moments: int = 1,
) -> NoiseSample:
    """Noise for a batch of shape (B, N, d), distributed over its tokens as the objective says.

    The noise sample and the first level come first, so that they are the same for every objective. ``moments``: how
    many frames the tokens belong to, in order; with one level per ``frame`` each has its own. A modality whose
    ``law.masked`` is 0 always has one level: the teacher reads what the student reads.
    """
    batch, tokens, _ = shape
    eps = torch.randn(shape, generator=generator, device=generator.device)
    levels, nearer = [draw_levels(law, batch, generator)], None
    level_index = torch.zeros(1, tokens, dtype=torch.int64, device=eps.device)
    if spec.levels == "dual" and law.masked > 0:
        levels.append(draw_levels(law, batch, generator))
        level_index = (torch.rand(batch, tokens, generator=generator, device=generator.device) < law.masked).long()
    if spec.levels == "frame" and moments > 1:
        levels += [draw_levels(law, batch, generator) for _ in range(moments - 1)]
        level_index = torch.arange(moments, device=eps.device).repeat_interleave(tokens // moments)[None]
    if spec.teacher == "nearer" and law.masked > 0:
        nearer = (levels[0] - NEARER * torch.rand(batch, generator=generator, device=generator.device)).clamp(min=0)[
            :, None
        ]
    draw = NoiseSample(eps, torch.stack(levels, dim=1), level_index, nearer)
    return _give_prefix(draw, law.prefix, generator) if law.prefix else draw


def noise_for_each(
    law: TimestepDistribution, shape: tuple[int, int, int], generator: torch.Generator, moments: int
) -> NoiseSample:
    """Draw for ``moments`` in a row, a level for each; their tokens follow one another, so many for each."""
    batch, tokens, _ = shape
    eps = torch.randn(shape, generator=generator, device=generator.device)
    levels = draw_levels(law, batch * moments, generator).view(batch, moments)
    return NoiseSample(eps, levels, torch.arange(moments, device=eps.device).repeat_interleave(tokens // moments)[None])


def _give_prefix(draw: NoiseSample, most: int, generator: torch.Generator) -> NoiseSample:
    """Give 0 to ``most`` first tokens of each sample clean, uniformly (arXiv 2512.05964)."""
    batch, tokens = draw.eps.shape[:2]
    committed = torch.randint(most + 1, (batch, 1), generator=generator, device=generator.device)
    level_index = torch.where(
        torch.arange(tokens, device=committed.device) < committed, draw.levels.shape[1], draw.level_index
    )
    levels = torch.cat([draw.levels, draw.levels.new_zeros(batch, 1)], 1)
    return NoiseSample(draw.eps, levels, level_index, draw.nearer, given=True)


def draw_regression(shape: tuple[int, int, int], generator: torch.Generator, spec: Objective) -> NoiseSample:
    """A regression's input: zeros at level 1; for MIP every other row the target mixed with noise at `REFINE`."""
    batch, tokens, _ = shape
    eps, levels = (
        torch.randn(shape, generator=generator, device=generator.device),
        torch.ones(batch, 1, device=generator.device),
    )
    refine = torch.arange(batch, device=generator.device) % spec.passes == 1
    levels[refine] = REFINE
    return NoiseSample(
        eps * refine[:, None, None], levels, torch.zeros(1, tokens, dtype=torch.int64, device=eps.device)
    )


def draw_observed(
    law: ObservationNoise, shape: tuple[int, int, int], generator: torch.Generator, spec: Objective
) -> NoiseSample | None:
    """Noise for the observed frames' patches, (B, N, d); None where they stay clean."""
    masked = law.masked if spec.levels == "dual" else 0.0
    if law.high == 0 and masked == 0:
        return None
    batch, tokens, _ = shape
    eps = torch.randn(shape, generator=generator, device=generator.device)
    levels = torch.stack(
        [
            law.high * torch.rand(batch, generator=generator, device=generator.device),
            torch.rand(batch, generator=generator, device=generator.device),
        ],
        1,
    )
    level_index = (torch.rand(batch, tokens, generator=generator, device=generator.device) < masked).long()
    return NoiseSample(
        eps, levels if masked else levels[:, :1], level_index if masked else torch.zeros_like(level_index[:1])
    )
