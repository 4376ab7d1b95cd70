"""One transformer block, modulated by each token's noise (adaLN-Zero)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worldmodel.backbone.attention import Attention


def modulate(x: Float[Tensor, "B N D"], shift: Float[Tensor, "..."], scale: Float[Tensor, "..."]) -> Tensor:
    """Scale and shift normalised tokens by their noise's modulation."""
    return x * (1 + scale) + shift


class Block(nn.Module):
    """Attention and an MLP, pre-normalised, modulated and gated per token.

    The modulation network is shared by all blocks (as in FLUX.2); each block adds a learned offset of its own, so
    conditioning costs D * 6D parameters once rather than once per block. Gates start at ``gate``, a little open: with a
    shared modulation network that starts at zero, each block would otherwise be dead until its own offset has moved.
    """

    def __init__(self, width: int, heads: int, gate: float) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.attention = Attention(width, heads)
        self.norm_mlp = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.modulation = nn.Parameter(torch.zeros(6, width).index_fill(0, torch.tensor([2, 5]), gate).flatten())
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                nn.init.xavier_uniform_(parameter)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def keys(
        self, x: Tensor, modulation: tuple[Tensor, ...], turn: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of the tokens as this block's attention takes them."""
        shift, scale = modulation[:2]
        return self.attention.project(modulate(self.norm_attention(x), shift, scale), turn)

    def forward(
        self,
        x: Float[Tensor, "B N D"],
        modulation: tuple[Tensor, ...],
        turn: tuple[Tensor, Tensor],
        cache: tuple[Tensor, Tensor] | None = None,
        allowed: Tensor | None = None,
    ) -> tuple[Float[Tensor, "B N D"], tuple[Tensor, Tensor]]:
        """Tokens after the block, and the keys and values that later tokens may attend to."""
        q, k, v = self.keys(x, modulation, turn)
        _, _, gate, shift, scale, gate_mlp = modulation
        x = x + gate * self.attention.attend(q, k, v, cache, allowed)
        x = x + gate_mlp * self.mlp(modulate(self.norm_mlp(x), shift, scale))
        return x, (k, v)
