"""Frames at any number of control steps ahead, predicted in pairs, as in training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import UInt8
from torch import Tensor

from worldmodel.model.records import Given
from worldmodel.model.world import WorldModel


def frames_ahead(
    model: WorldModel,
    given: Given,
    at: Sequence[int] | Tensor,
    steps: int = 2,
    generator: torch.Generator | None = None,
) -> UInt8[Tensor, "B K C H W 3"]:
    """Frames ``at`` these control steps (from 1) after the observation: K for all rows, or a row (B, K) of them each.

    An odd last one is predicted twice. ``steps``: sampling steps.
    """
    wanted = torch.as_tensor(at, device=given.state.device)
    if wanted.ndim == 1:
        wanted = wanted.repeat(len(given.state), 1)
    count = wanted.shape[1]
    if count % 2:
        wanted = torch.cat([wanted, wanted[:, -1:]], dim=1)
    frames = model.imagine(given, wanted.reshape(-1, 2), steps, generator=generator)
    return frames.reshape(*wanted.shape, *frames.shape[2:])[:, :count]
