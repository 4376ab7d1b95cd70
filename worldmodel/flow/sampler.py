"""The sampler: from noise to data over falling noise levels."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from worldmodel.flow.path import step

REFINE = 0.1
"""Noise in the second of MIP's two passes (1 - t* with the paper's t* = 0.9)."""


def grid(steps: int, shift: float = 1.0) -> Tensor:
    """Noise levels from 1 to 0 in ``steps`` steps, float32 (steps + 1,).

    ``shift`` > 1 spends more steps at high noise, < 1 at low noise: t -> shift t / (1 + (shift - 1) t).
    """
    if steps < 1:
        raise ValueError(f"a sampler needs at least 1 step, got {steps}")
    t = torch.linspace(1, 0, steps + 1)
    return shift * t / (1 + (shift - 1) * t)


def regression_grid(sampler: str) -> Tensor:
    """Noise levels of a regression's passes, from zeros: 1, and for ``mip`` also `REFINE`."""
    return torch.tensor([1.0, 0.0] if sampler == "regression" else [1.0, REFINE, 0.0])


def sample(
    denoise: Callable[[dict[str, Tensor], Tensor], dict[str, Tensor]], start: dict[str, Tensor], levels: Tensor
) -> dict[str, Tensor]:
    """Carry every array in ``start`` from noise 1 to noise 0 over the falling ``levels`` (see `grid`).

    ``denoise(values, noise)`` returns the predicted clean values of all arrays at one common noise level (a float32
    scalar tensor). The state stays in float32. Euler's method.
    """
    values = {name: value.float() for name, value in start.items()}
    for now, then in pairwise(levels):
        clean = denoise(values, now)
        values = {name: step(v, clean[name].float(), now, then) for name, v in values.items()}
    return values
