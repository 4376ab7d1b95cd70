"""The next frame from the last one: parts of it stay, parts move along, the rest is painted."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import grid_sample, interpolate

from worldmodel.tokens.embedding import zero_head

POINTS = 4
"""Displacements per patch and axis; between them they are interpolated."""
GAIN = 0.25
"""Of all that the heads say: their inputs are many, and at AdamW's full rate they paint noise."""
UNIT = 12.0
"""Pixels by which a displacement of 1 moves a pixel."""
PARTS = 4
"""What a pixel is mixed from: the last frame, paint, and the last frame displaced in two ways."""


class MaskedWarps(nn.Module):
    """``frame = m0 last + m1 paint + m2 warp1(last) + m3 warp2(last)``, masks from a softmax (after arXiv 1605.07157).

    Displacement fields are smooth (a bilinear grid of `POINTS` x `POINTS` per patch), masks and paint per pixel. A
    displaced pixel is fetched bicubically, borders repeated. At first the last frame is kept.
    """

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.hidden = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU())
        self.pixels = zero_head(2 * width, patch * patch * (3 + PARTS))
        self.fields = zero_head(2 * width, POINTS * POINTS * 4)

    def forward(self, features: Float[Tensor, "R N D"], last: Float[Tensor, "R H W 3"]) -> Float[Tensor, "R H W 3"]:
        """The next frames of R cameras in model units, from N = rows * columns patches' features each."""
        size, p = last.shape[1], self.patch
        hidden = self.hidden(features)
        pixels = rearrange(
            GAIN * self.pixels(hidden), "r (y x) (p q e) -> r e (y p) (x q)", y=size // p, p=p, q=p
        ).float()
        fields = rearrange(
            GAIN * self.fields(hidden), "r (y x) (p q w e) -> (r w) e (y p) (x q)", y=size // p, p=POINTS, q=POINTS, e=2
        )
        smooth = interpolate(fields.float(), size=(size, size), mode="bilinear", align_corners=False)
        line = (torch.arange(size, device=last.device) * 2 + 1) / size - 1
        here = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)
        there = here + smooth.permute(0, 2, 3, 1) * (2 * UNIT / size)
        images = rearrange(last, "r h w d -> r d h w").float()
        fetched = grid_sample(
            images.repeat_interleave(2, 0), there, mode="bicubic", padding_mode="border", align_corners=False
        ).unflatten(0, (-1, 2))
        first = torch.tensor([2.0, 0.0, 0.0, 0.0], device=last.device).view(1, PARTS, 1, 1)
        masks = (pixels[:, 3:] + first).softmax(1).unsqueeze(2)
        frame = masks[:, 0] * images + masks[:, 1] * pixels[:, :3]
        frame = frame + masks[:, 2] * fetched[:, 0] + masks[:, 3] * fetched[:, 1]
        return rearrange(frame, "r d h w -> r h w d")
