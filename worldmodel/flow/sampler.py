"""Samplers carry noise to data. They know when, not how velocity is computed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from worldmodel.flow.noise import REFINE
from worldmodel.flow.path import step

Method = Literal["euler", "heun"]


def grid(steps: int, shift: float = 1.0) -> Tensor:
    """Noise levels from 1 to 0 in ``steps`` steps, float32 (steps + 1,).

    ``shift`` > 1 spends more steps at high noise, < 1 at low noise: t -> shift t / (1 + (shift - 1) t).
    """
    if steps < 1:
        raise ValueError(f"a sampler needs at least 1 step, got {steps}")
    t = torch.linspace(1, 0, steps + 1)
    return shift * t / (1 + (shift - 1) * t)


def regression_grid(sampler: str) -> Tensor:
    """Noise levels of a regression's passes: one from 1, or MIP's two (1, then `REFINE`). They start from zeros."""
    return torch.tensor([1.0, 0.0] if sampler == "regression" else [1.0, REFINE, 0.0])


def sample(
    denoise: Callable[[dict[str, Tensor], Tensor], dict[str, Tensor]],
    start: dict[str, Tensor],
    levels: Tensor,
    method: Method = "euler",
) -> dict[str, Tensor]:
    """Carry every array in ``start`` from noise 1 to noise 0 over the falling ``levels`` (see `grid`).

    ``denoise(values, noise)`` returns the predicted clean values of all arrays at one common noise level (a float32
    scalar tensor). Solver state stays in float32. Euler is first order and exact where the prediction does not depend
    on the noise; Heun is second order for twice the evaluations but one.
    """
    values = {name: value.float() for name, value in start.items()}
    for now, then in pairwise(levels):
        first = denoise(values, now)
        ahead = {name: step(v, first[name].float(), now, then) for name, v in values.items()}
        if method == "heun" and then > 0:
            second = denoise(ahead, then)
            for name, v in values.items():
                slope = (v - first[name].float()) / now + (ahead[name] - second[name].float()) / then
                ahead[name] = v + (then - now) * slope / 2
        values = ahead
    return values
