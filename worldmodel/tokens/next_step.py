"""What imagined rollouts predict of one control step: the next state as a token, the next frame from the last one."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import grid_sample, interpolate

from worldmodel.schema import STATE, Clip
from worldmodel.tokens.embedding import Embedded, Scaling, embedding, zero_head

POINTS = 4  # displacements per patch and axis; between them they are interpolated
GAIN = 0.25  # of the heads' outputs: their inputs are many, and at AdamW's full rate they paint noise
UNIT = 12.0  # pixels by which a displacement of 1 moves a pixel
PARTS = 4  # a pixel is mixed from the last frame, paint, and the last frame displaced in two ways


class NextState(Embedded):
    """The robot's state one control step later, as one token.

    Values are changes since the step before, each dimension in its own robust range: as a share of the state's whole
    range a step's change would vanish in the noise. floor: clamp of the noise in its velocity loss.
    """

    floor = 0.25

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.dim = dim
        self.scaling = Scaling((dim,))
        self.embed = embedding(dim, width)
        self.slot = nn.Parameter(torch.randn(width) * 0.02)
        self.head = zero_head(width, dim)

    def fit(self, clip: Clip) -> None:
        """Set the ranges from changes of one control step (``clip.future``'s one frame is the next step's)."""
        change = clip.more_future[STATE][:, 0] - clip.state
        self.scaling.fit(change[clip.future_valid[:, 0]])

    def encode(self, state: Float[Tensor, "*b S"], before: Float[Tensor, "*b S"]) -> Float[Tensor, "*b S"]:
        """States and those a step before, physical units, to model units, about [-1, 1]."""
        return self.scaling.encode(state - before)

    def decode(self, values: Float[Tensor, "*b S"], before: Float[Tensor, "*b S"]) -> Float[Tensor, "*b S"]:
        """Model units to states in physical units; the inverse of ``encode``."""
        return before + self.scaling.decode(values)


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
        pixels, fields = GAIN * self.pixels(hidden), GAIN * self.fields(hidden)
        pixels = rearrange(pixels, "r (y x) (p q e) -> r e (y p) (x q)", y=size // p, p=p, q=p).float()
        to_grid = "r (y x) (p q w e) -> (r w) e (y p) (x q)"
        fields = rearrange(fields, to_grid, y=size // p, p=POINTS, q=POINTS, e=2).float()
        smooth = interpolate(fields, size=(size, size), mode="bilinear", align_corners=False)
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
