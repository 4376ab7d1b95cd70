"""Attention over physical positions: rotary embedding in time, row and column."""

import math

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

TIME_SCALE = 8.0
"""Fastest rotation of the time axis in radians per control step of 0.05 s is TIME_SCALE * pi * 0.05."""

FEW = 96
"""Queries up to which plain products are faster in training on a CPU."""


class Rotary(nn.Module):
    """Turns positions into rotations (RoPE, arXiv 2104.09864) on three axes that share the head's dimensions.

    Half of the rotated pairs follow time, a quarter row and a quarter column. Frequencies are physical (radians per
    second, radians per image), so control rates and frame rates may differ.
    """

    rates: Float[Tensor, "3 pairs"]

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        pairs = head_dim // 2
        counts = (pairs - 2 * (pairs // 4), pairs // 4, pairs // 4)
        rates, start = torch.zeros(3, pairs), 0
        for axis, (count, fastest) in enumerate(zip(counts, (TIME_SCALE, 6.0, 6.0), strict=True)):
            octaves = torch.arange(count) / max(count - 1, 1)
            rates[axis, start : start + count] = math.pi * fastest * (1 / 16) ** octaves
            start += count
        self.register_buffer("rates", rates, persistent=False)

    def forward(self, positions: Float[Tensor, "*b N 3"]) -> tuple[Float[Tensor, "*b N P"], Float[Tensor, "*b N P"]]:
        """Cosines and sines of every token's angles, float32."""
        if positions.dtype == torch.float64:  # long after a clock's start
            angles = positions @ self.rates.double()
        elif positions.device.type == "cpu":
            angles = positions.float() @ self.rates
        else:  # a GPU's matrix product may round its factors to ten bits
            angles = (positions.float()[..., None] * self.rates).sum(-2)
        return angles.cos().float(), angles.sin().float()


def rotate(
    x: Float[Tensor, "*lead N d"], turn: tuple[Float[Tensor, "*b N P"], Float[Tensor, "*b N P"]]
) -> Float[Tensor, "*lead N d"]:
    """Rotate the two halves of every head by the positions' angles."""
    cos, sin = (t.unsqueeze(-3).to(x.dtype) for t in turn)
    left, right = x.chunk(2, dim=-1)
    return torch.cat([left * cos - right * sin, right * cos + left * sin], dim=-1)


def unit(x: Float[Tensor, "*lead d"]) -> Float[Tensor, "*lead d"]:
    """Every head's vector at unit root mean square, computed in float32."""
    return (x.float() * torch.rsqrt(x.float().square().mean(-1, keepdim=True) + 1e-6)).to(x.dtype)


class Attention(nn.Module):
    """Multi-head attention with normalised queries and keys, over a cache of keys and values beside its own."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.scale_q = nn.Parameter(torch.ones(width // heads))
        self.scale_k = nn.Parameter(torch.ones(width // heads))

    def project(self, x: Tensor, turn: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, (B, heads, N, head_dim) each, rotated to their positions."""
        qkv = rearrange(self.qkv(x), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        scales = torch.stack([self.scale_q, self.scale_k]).to(qkv.dtype)[:, None, None, None]
        q, k = rotate(unit(qkv[:2]) * scales, turn)  # both at once: fewer, larger operations
        return q, k, qkv[2]

    def attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        cache: tuple[Tensor, Tensor] | None = None,
        allowed: Bool[Tensor, "#B #N M"] | None = None,
    ) -> Tensor:
        """Attend to the cache's keys and values, where given, and to the own ones; (B, N, width).

        ``allowed``: of the own ones alone (M = N; all of the cache is open), or of the cache's and then the own ones.
        """
        if cache is not None:
            k, v = torch.cat([cache[0], k], dim=2), torch.cat([cache[1], v], dim=2)
        bias = None
        if allowed is not None:
            bias = torch.zeros(allowed.shape, dtype=q.dtype, device=q.device).masked_fill(~allowed, -torch.inf)[:, None]
            bias = F.pad(bias, (k.shape[2] - allowed.shape[2], 0))
        if q.device.type == "cpu" and torch.is_grad_enabled() and q.shape[2] <= FEW:
            # Two batched products and a fused softmax: with few queries the fused CPU kernel's backward is slower.
            scores = (q * q.shape[-1] ** -0.5) @ k.mT
            read = (scores if bias is None else scores + bias).float().softmax(-1).to(v.dtype) @ v
        else:
            read = F.scaled_dot_product_attention(q, k, v, bias)
        return self.out(rearrange(read, "b h n d -> b n (h d)"))
