"""The sampler: from noise to data over falling noise levels."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from worldmodel.flow.path import step

REFINE = 0.1
"""Noise in the second of MIP's two passes (1 - t* with the paper's t* = 0.9)."""


def grid(steps: int, shift: float = 1.0) -> Tensor:
    """Noise levels from 1 to 0 in ``steps`` steps, float32 (steps + 1,).

    ``shift`` > 1 spends more steps at high noise, < 1 at low noise: t -> shift t / (1 + (shift - 1) t).
    """
    t = torch.tensor(even_levels(steps))
    return shift * t / (1 + (shift - 1) * t)


def even_levels(steps: int) -> list[float]:
    """As `grid`, as numbers: what is computed from these alone is a constant of an exported graph."""
    if steps < 1:
        raise ValueError(f"a sampler needs at least 1 step, got {steps}")
    return [1 - i / steps for i in range(steps + 1)]


def regression_grid(sampler: str) -> list[float]:
    """Noise levels of a regression's passes, from zeros: 1, and for ``mip`` also `REFINE`."""
    return [1.0, 0.0] if sampler == "regression" else [1.0, REFINE, 0.0]


def sample(
    denoise: Callable[[dict[str, Tensor], Any], dict[str, Tensor]],
    start: dict[str, Tensor],
    levels: Tensor | Sequence[float],
) -> dict[str, Tensor]:
    """Carry every array in ``start`` from noise 1 to noise 0 over the falling ``levels`` (see `grid`).

    ``denoise(values, noise)`` returns the predicted clean values of all arrays at one common noise level, one of
    ``levels`` (a float32 scalar tensor, or a number). The state stays in float32. Euler's method.
    """
    values = {name: value.float() for name, value in start.items()}
    for now, then in pairwise(levels):
        clean = denoise(values, now)
        values = {name: step(v, clean[name].float(), now, then) for name, v in values.items()}
    return values
