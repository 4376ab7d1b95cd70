"""From recorded frames to a frozen encoder's features on the model's own grid of patches."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from research.encode.config import ENCODERS
from research.encode.encoders import digest_of, load_network


class Encoder:
    """A frozen encoder for square frames, read on a grid of ``grid`` x ``grid`` places.

    Frames are up-sampled so that ``detail`` x ``detail`` of the encoder's patches lie exactly under one place, whose
    feature is their average. Attributes: channels: E of a feature; digest: of the weights (SHA-256).

    Raises UserError where the encoder cannot be had (see ``load_network``).
    """

    def __init__(
        self,
        name: str,
        grid: int,
        detail: int = 2,
        weights: str | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.grid, self.detail, self.dtype = grid, detail, dtype
        self.device = device or torch.device("cpu")
        self.size = grid * detail * ENCODERS[name].patch if name in ENCODERS else 0
        network: Any = load_network(name, self.size, weights)
        self.digest = digest_of(network)
        self.channels: int = network.num_features
        self.prefix: int = network.num_prefix_tokens  # class token and registers stand before the patches
        self.mean, self.std = (_row(network.pretrained_cfg[key], self.device) for key in ("mean", "std"))
        self.network: nn.Module = network.to(self.device, dtype)

    @torch.inference_mode()
    def __call__(self, frames: UInt8[np.ndarray, "n H W 3"]) -> Float[np.ndarray, "n N E"]:
        """Features of the last layer (after its norm), float16, N = grid * grid places row by row."""
        images = self.prepare(torch.from_numpy(np.array(frames)).to(self.device))
        tokens = self.network.forward_features(images.to(self.dtype))[:, self.prefix :].float()  # type: ignore[operator]
        return self.pool(tokens).cpu().numpy().astype(np.float16)

    def prepare(self, frames: UInt8[Tensor, "n H W 3"]) -> Float[Tensor, "n 3 S S"]:
        """Bytes up-sampled to the encoder's size and normalised with its own mean and deviation."""
        images = frames.permute(0, 3, 1, 2).float() / 255
        images = F.interpolate(images, (self.size, self.size), mode="bicubic", align_corners=False).clamp(0, 1)
        return (images - self.mean) / self.std

    def pool(self, tokens: Float[Tensor, "n P E"]) -> Float[Tensor, "n N E"]:
        """Average of the encoder's patches under each place; both row by row."""
        side = self.grid * self.detail
        fine = tokens.transpose(1, 2).unflatten(2, (side, side))
        return F.avg_pool2d(fine, self.detail).flatten(2).transpose(1, 2)


def _row(values: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device).view(1, 3, 1, 1)
