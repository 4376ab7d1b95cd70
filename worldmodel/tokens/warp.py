"""What moves is carried along: each pixel of the next frame may be fetched from elsewhere in the last one.

Experimental: models trained with it lost small things that move, and the shipped one has none.
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import grid_sample

UNIT = 12.0
"""Pixels by which one unit of the head's output moves a pixel. With 2 the head learned half as fast."""


class Warp(nn.Module):
    """A displacement and a gate for every pixel, from its patch's token (after arXiv 1605.07157).

    A pixel is fetched from the last frame at the displaced position (bicubic, borders repeated); the gate mixes it with
    the pixel in place. Moving edges thus stay sharp. Displacements start at 0.
    """

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.head = nn.Linear(width, patch * patch * 3)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, features: Float[Tensor, "R N D"], last: Float[Tensor, "R H W 3"]) -> Float[Tensor, "R N P"]:
        """The last frames, warped, as patches; R frames (of any time and camera) of N = rows * columns patches each."""
        size, p = last.shape[1], self.patch
        field = self.head(features).float()
        field = rearrange(field, "r (y x) (p q e) -> r (y p) (x q) e", y=size // p, p=p, q=p)
        line = (torch.arange(size, device=last.device) * 2 + 1) / size - 1
        here = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)
        there = here + field[..., :2] * (2 * UNIT / size)
        images = rearrange(last, "r h w d -> r d h w")
        found = grid_sample(images, there, mode="bicubic", padding_mode="border", align_corners=False)
        carried = last + torch.sigmoid(field[..., 2:]) * (rearrange(found, "r d h w -> r h w d") - last)
        return rearrange(carried, "r (y p) (x q) d -> r (y x) (p q d)", p=p, q=p)
