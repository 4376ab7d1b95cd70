"""How much noise each token gets while training."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from worldmodel.flow import NoiseDraw
from worldmodel.flow.sampler import REFINE
from worldmodel.objectives.arms import Arm
from worldmodel.objectives.config import ObservedLaw
from worldmodel.tokens.noise_law import NoiseLaw

NEARER = 0.2
"""SRA's teacher is up to this much closer to the data than its student."""


def draw_levels(law: NoiseLaw, batch: int, generator: torch.Generator) -> Float[Tensor, " B"]:
    """One level per sample, float32 in (0, 1]."""
    uniform = torch.rand(batch, 3, generator=generator)
    level = torch.sigmoid(law.mean + law.spread * torch.randn(batch, generator=generator))
    level = torch.where(uniform[:, 0] < law.high, 0.95 + 0.05 * uniform[:, 1], level)
    return torch.where(uniform[:, 2] < law.pure, 1.0, level).clamp(1e-3, 1.0)


def draw_noise(
    law: NoiseLaw, shape: tuple[int, int, int], generator: torch.Generator, arm: Arm, moments: int = 1
) -> NoiseDraw:
    """Draw for a batch of shape (B, N, d), spread over its tokens as ``arm`` says.

    The noise sample and the first level come first, so that they are the same in every arm. ``moments``: how many
    frames the tokens belong to, one after another; in a ``frame`` arm each has a level of its own. A modality whose
    ``law.masked`` is 0 has one level in every arm: the teacher sees of it what the student sees.
    """
    batch, tokens, _ = shape
    eps = torch.randn(shape, generator=generator)
    levels, nearer = [draw_levels(law, batch, generator)], None
    which = torch.zeros(1, tokens, dtype=torch.int64)
    if arm.levels == "dual" and law.masked > 0:
        levels.append(draw_levels(law, batch, generator))
        which = (torch.rand(batch, tokens, generator=generator) < law.masked).long()
    if arm.levels == "frame" and moments > 1:
        levels += [draw_levels(law, batch, generator) for _ in range(moments - 1)]
        which = torch.arange(moments).repeat_interleave(tokens // moments)[None]
    if arm.teacher == "nearer" and law.masked > 0:
        nearer = (levels[0] - NEARER * torch.rand(batch, generator=generator)).clamp(min=0)[:, None]
    draw = NoiseDraw(eps, torch.stack(levels, dim=1), which, nearer)
    return _give_prefix(draw, law.prefix, generator) if law.prefix else draw


def draw_moments(law: NoiseLaw, shape: tuple[int, int, int], generator: torch.Generator, moments: int) -> NoiseDraw:
    """Draw for ``moments`` in a row, a level for each; their tokens follow one another, so many for each."""
    batch, tokens, _ = shape
    eps = torch.randn(shape, generator=generator)
    levels = draw_levels(law, batch * moments, generator).view(batch, moments)
    return NoiseDraw(eps, levels, torch.arange(moments).repeat_interleave(tokens // moments)[None])


def _give_prefix(draw: NoiseDraw, most: int, generator: torch.Generator) -> NoiseDraw:
    """Give 0 to ``most`` first tokens of each sample clean, equally often (training-time real-time chunking).

    arXiv 2512.05964: what is committed while a chunk is computed is given, and learned to be continued.
    """
    batch, tokens = draw.eps.shape[:2]
    committed = torch.randint(most + 1, (batch, 1), generator=generator)
    which = torch.where(torch.arange(tokens) < committed, draw.levels.shape[1], draw.which)
    levels = torch.cat([draw.levels, draw.levels.new_zeros(batch, 1)], 1)
    return NoiseDraw(draw.eps, levels, which, draw.nearer, given=True)


def draw_regression(shape: tuple[int, int, int], generator: torch.Generator, arm: Arm) -> NoiseDraw:
    """What a regression is shown of its target: nothing (zeros at level 1); in MIP every other row a refinable copy.

    The copy is mixed with noise at `REFINE`; at deployment the first pass' answer takes its place.
    """
    batch, tokens, _ = shape
    eps, levels = torch.randn(shape, generator=generator), torch.ones(batch, 1)
    refine = torch.arange(batch) % arm.passes == 1
    levels[refine] = REFINE
    return NoiseDraw(eps * refine[:, None, None], levels, torch.zeros(1, tokens, dtype=torch.int64))


def draw_observed(
    law: ObservedLaw, shape: tuple[int, int, int], generator: torch.Generator, arm: Arm
) -> NoiseDraw | None:
    """Noise for the observed frames' patches, (B, N, d); None where the law or the arm wants them clean."""
    masked = law.masked if arm.levels == "dual" else 0.0
    if law.high == 0 and masked == 0:
        return None
    batch, tokens, _ = shape
    eps = torch.randn(shape, generator=generator)
    levels = torch.stack([law.high * torch.rand(batch, generator=generator), torch.rand(batch, generator=generator)], 1)
    which = (torch.rand(batch, tokens, generator=generator) < masked).long()
    return NoiseDraw(eps, levels if masked else levels[:, :1], which if masked else torch.zeros_like(which[:1]))
