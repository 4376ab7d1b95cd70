"""Augmentation on the device: one draw per clip, shared by its frames and cameras, so it cannot look like motion."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from worldmodel.schema import Clip
from worldmodel.train.config import AugmentConfig


def augment(clip: Clip, config: AugmentConfig, generator: torch.Generator) -> Clip:
    """Shift and recolour a clip's frames; what comes out is its ``pixels`` and ``future_pixels``, in model units."""
    batch, device = len(clip.images), clip.images.device
    shift = torch.randint(-config.shift, config.shift + 1, (batch, 2), generator=generator).to(device)
    gain = 1 + config.gain * (2 * torch.rand(batch, 3, generator=generator) - 1)
    gain = gain * (1 + config.brightness * (2 * torch.rand(batch, 1, generator=generator) - 1))
    offset = config.offset * (2 * torch.rand(batch, 3, generator=generator) - 1)
    gain, offset = gain.to(device), offset.to(device)
    pixels = _recolour(_shifted(clip.images, shift), gain, offset)
    if clip.future is None:
        return replace(clip, pixels=pixels)
    future = _shifted(clip.future.flatten(1, 2), shift).unflatten(1, clip.future.shape[1:3])
    return replace(clip, pixels=pixels, future_pixels=_recolour(future, gain, offset))


def _shifted(frames: Tensor, shift: Tensor) -> Tensor:
    """Move every clip's frames (B, X, H, W, 3) by its own whole pixels."""
    height, width = frames.shape[2:4]
    rows = (torch.arange(height, device=frames.device) + shift[:, :1]).clamp(0, height - 1)
    columns = (torch.arange(width, device=frames.device) + shift[:, 1:]).clamp(0, width - 1)
    batch = torch.arange(len(frames), device=frames.device)
    return frames[batch[:, None, None], :, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2, 4)


def _recolour(frames: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    """Bytes to [-1, 1] with every clip's gain and offset per channel, clamped to the range."""
    shape = (len(frames), *([1] * (frames.ndim - 2)), 3)
    scale, bias = gain.view(shape) / 127.5, offset.view(shape) - 1
    return torch.addcmul(bias, frames.float(), scale).clamp_(-1, 1)
