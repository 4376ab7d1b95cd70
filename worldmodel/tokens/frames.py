"""Camera frames as tokens: pixels in, pixels out, no encoder from elsewhere."""

from typing import Any, Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from worldmodel.schema import Clip
from worldmodel.tokens.embedding import zero_head
from worldmodel.tokens.timesteps import FRAMES


class Frames(nn.Module):
    """Square patches of camera frames, embedded by a small convolutional stem in which neighbouring patches overlap.

    The stem (space-to-depth and two strided convolutions) is learned, the same for clean and noisy frames. Values are
    pixels in [-1, 1]. Each token paints its patch over the last observed one, ``x = keep * last + (1 - keep) * paint``.
    """

    role: Literal["actions", "frames"] = "frames"
    noise = FRAMES
    weight, floor = 1.0, 0.05
    optional, with_observation = False, True

    def __init__(self, cameras: tuple[str, ...], size: int, patch: int, width: int) -> None:
        super().__init__()
        if size % patch or patch % 4:
            raise ValueError(f"frame size {size} must be a multiple of the patch size {patch}, itself a multiple of 4")
        if patch not in (8, 16):
            raise ValueError(f"patch size must be 8 or 16, got {patch}")
        self.cameras, self.size, self.patch = cameras, size, patch
        self.grid = size // patch
        stem = [nn.Conv2d(48, 64, 1), nn.GELU()]
        if patch == 16:
            stem += [nn.Conv2d(64, 128, 3, stride=2, padding=1), nn.GELU()]
        self.stem = nn.Sequential(*stem, nn.Conv2d(128 if patch == 16 else 64, width, 3, stride=2, padding=1))
        self.slot = nn.Parameter(torch.randn(len(cameras), self.grid**2, width) * 0.02)
        self.head = zero_head(width, patch * patch * 4)

    @property
    def per_time(self) -> int:
        """Tokens of one time step, all cameras."""
        return len(self.cameras) * self.grid**2

    def fit(self, clip: Clip) -> None:
        """Nothing: the range of bytes is known."""

    def encode(self, frames: UInt8[Tensor, "*b H W 3"]) -> Float[Tensor, "*b H W 3"]:
        """Bytes to model units in [-1, 1]."""
        return frames.float() / 127.5 - 1

    def decode(self, values: Float[Tensor, "*b H W 3"]) -> UInt8[Tensor, "*b H W 3"]:
        """Model units to bytes, rounded and clamped; the inverse of ``encode``."""
        return ((values.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)

    def observed(self, given: Any) -> Float[Tensor, "B C H W 3"]:
        """Observed frames in model units: as training changed them, or as they were recorded."""
        changed = getattr(given, "pixels", None)
        return self.encode(given.images) if changed is None else changed

    def later(self, clip: Clip) -> Float[Tensor, "B F C H W 3"]:
        """A clip's later frames in model units, likewise."""
        return self.encode(clip.future) if clip.future_pixels is None else clip.future_pixels

    def patches(self, values: Float[Tensor, "B F C H W 3"]) -> Float[Tensor, "B N P"]:
        """Cut frames into patches; N = F * C * rows * columns, P = patch * patch * 3."""
        p = self.patch
        return rearrange(values, "b f c (r p) (k q) d -> b (f c r k) (p q d)", p=p, q=p)

    def assemble(self, patches: Float[Tensor, "B N P"], times: int) -> Float[Tensor, "B F C H W 3"]:
        """Put patches back together; the inverse of ``patches``."""
        p, c, r = self.patch, len(self.cameras), self.grid
        pattern = "b (f c r k) (p q d) -> b f c (r p) (k q) d"
        return rearrange(patches, pattern, f=times, c=c, r=r, k=r, p=p, q=p)

    def shape(self, batch: int, frames: int) -> tuple[int, int, int]:
        """(B, N, P) of the patches of ``frames`` frames."""
        return batch, frames * self.per_time, self.patch**2 * 3

    def truth(self, clip: Clip, wanted: bool) -> Float[Tensor, "B N P"]:
        """Patches of the frames that were really seen."""
        return self.patches(self.later(clip))

    def valid(self, clip: Clip) -> Bool[Tensor, "B N"]:
        """Frames before the episode's end."""
        return clip.future_valid.repeat_interleave(self.per_time, 1)

    def tokens(self, patches: Float[Tensor, "B N P"]) -> Float[Tensor, "B N D"]:
        """Embed (noisy) patches in model units; neighbours are seen through the stem's overlap."""
        c, r, s = len(self.cameras), self.grid, self.patch // 4
        cells = rearrange(
            patches, "b (f c r k) (p i q j d) -> (b f c) (i j d) (r p) (k q)", c=c, r=r, k=r, p=s, q=s, i=4, j=4
        )
        cells = cells.to(self.slot.dtype).contiguous(memory_format=torch.channels_last)
        features = self.stem(cells)
        tokens = rearrange(features, "(b f c) d r k -> b f c (r k) d", b=len(patches), c=c)
        return rearrange(tokens + self.slot, "b f c n d -> b (f c n) d")

    def when(self, at: Int[Tensor, "B F"] | None, control_hz: float, device: torch.device) -> Float[Tensor, "... N 3"]:
        """Positions of frames ``at`` these control steps after the observation."""
        if at is None:
            raise ValueError("frames take part, but not at which control steps: give at")
        return self.positions(at.float() / control_hz)

    def positions(self, seconds: Float[Tensor, "*b F"]) -> Float[Tensor, "*b N 3"]:
        """When (seconds from the observation) and where (row, column as fractions of the image) each token is."""
        line = (torch.arange(self.grid, device=seconds.device) + 0.5) / self.grid
        row, column = torch.meshgrid(line, line, indexing="ij")
        spot = torch.stack([row.flatten(), column.flatten()], -1).repeat(len(self.cameras), 1)
        lead, times = seconds.shape[:-1], seconds.shape[-1]
        time = seconds.repeat_interleave(self.per_time, dim=-1)[..., None]
        return torch.cat([time, spot.repeat(times, 1).expand(*lead, -1, -1)], dim=-1)

    def read(self, features: Float[Tensor, "B N D"], last: Float[Tensor, "B M P"]) -> Float[Tensor, "B N P"]:
        """The clean patches that the features predict, in model units; ``last`` are the observed frames' patches."""
        return self.paint(features, last.repeat(1, features.shape[1] // last.shape[1], 1))

    def paint(self, features: Float[Tensor, "B N D"], over: Float[Tensor, "B N P"]) -> Float[Tensor, "B N P"]:
        """Each token's own patch, painted over another as far as it says, in model units."""
        out = rearrange(self.head(features).float(), "b n (x e) -> b n x e", e=4)
        keep = torch.sigmoid(out[..., 3:] + 2)
        return (keep * rearrange(over, "b n (x d) -> b n x d", d=3) + (1 - keep) * out[..., :3]).flatten(-2)
