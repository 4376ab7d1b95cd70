"""The backbone: encodes the given tokens once, then processes the wanted ones as often as needed."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from worldmodel.backbone.attention import Rotary
from worldmodel.backbone.block import Block, modulate
from worldmodel.backbone.config import BackboneConfig
from worldmodel.tokens.sequence import TokenSequence

type KVCache = list[tuple[Tensor, Tensor]]
"""Keys and values of every block, (B, heads, N, head_dim) each: all that later tokens need of the given ones."""


class NoiseEmbedding(nn.Module):
    """A noise level in [0, 1] as the modulation that all blocks share, computed in float32."""

    rates: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        rates = 1000.0 * torch.exp(-math.log(10_000) * torch.arange(64) / 64)
        self.register_buffer("rates", rates, persistent=False)
        self.mlp = nn.Sequential(nn.Linear(128, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.out = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, levels: Float[Tensor, "B L"]) -> Float[Tensor, "B L W"]:
        angles = levels.float()[..., None] * self.rates
        features = torch.cat([angles.cos(), angles.sin()], dim=-1)
        return self.out(self.mlp(features.to(self.out.weight.dtype)))


class Backbone(nn.Module):
    """A transformer in two passes over one set of weights.

    ``observe`` runs the given tokens, which attend only to one another, and returns their keys and values; ``forward``
    runs the rest, which attend to those and to one another. Observations are thus computed once for all sampling steps.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        self.noise = NoiseEmbedding(config.width)
        self.rotary = Rotary(config.width // config.heads)
        gate = 0.5 / config.depth**0.5
        blocks = config.depth + config.deep
        self.blocks = nn.ModuleList(Block(config.width, config.heads, gate) for _ in range(blocks))
        self.norm = nn.LayerNorm(config.width, elementwise_affine=False, eps=1e-6)
        self.final = nn.Parameter(torch.zeros(2 * config.width))
        self.final_deep = nn.Parameter(torch.zeros(2 * config.width)) if config.deep else None

    def _modulation(self, sequence: TokenSequence) -> Tensor:
        """The shared modulation of every token, (B or 1, N or 1, 6 D), from its few distinct noise levels."""
        table = self.noise(sequence.levels).to(sequence.values.dtype)
        if table.shape[1] == 1:
            return table
        level_index = sequence.level_index.expand(table.shape[0], -1)
        return torch.gather(table, 1, level_index[..., None].expand(-1, -1, table.shape[2]))

    def run(
        self, sequence: TokenSequence, cache: KVCache | None, until: int, allowed: Tensor | None, given: bool = False
    ) -> tuple[list[Tensor], KVCache]:
        """Tokens before the first and after each of ``until`` blocks, and their keys and values (see ``forward``).

        ``given``: only keys and values of the last block.
        """
        x, turn, shared = sequence.values, self.rotary(sequence.positions), self._modulation(sequence)
        after, kept = [x], []
        for number, block in enumerate(self.blocks[:until]):
            assert isinstance(block, Block)
            modulation = (shared + block.modulation.to(shared.dtype)).chunk(6, -1)
            if given and number == until - 1:
                kept.append(block.keys(x, modulation, turn)[1:])
            else:
                x, own = block(x, modulation, turn, None if cache is None else cache[number], allowed)
                after.append(x)
                kept.append(own)
        return after, kept

    def observe(self, sequence: TokenSequence, deep: bool = False) -> tuple[KVCache, list[Float[Tensor, "B N D"]]]:
        """Keys and values of the given tokens in every block, and the tokens before each block.

        ``deep``: in the blocks of imagined rollouts too.
        """
        after, kept = self.run(sequence, None, self.config.depth + deep * self.config.deep, None, given=True)
        return kept, after

    def forward(
        self,
        sequence: TokenSequence,
        cache: KVCache | None,
        allowed: Bool[Tensor, "#B #N M"] | None = None,
        deep: bool = False,
    ) -> tuple[Float[Tensor, "B N D"], list[Float[Tensor, "B N D"]]]:
        """Features of the sequence's tokens, and the tokens before the first and after every block.

        ``allowed``: which tokens may attend to which, where not all may (see `Attention.attend`). ``deep``: through all
        blocks, as in imagined rollouts.
        """
        after, _ = self.run(sequence, cache, self.config.depth + deep * self.config.deep, allowed)
        return self._features(sequence, after[-1], deep), after

    def extend(
        self, sequence: TokenSequence, cache: KVCache | None, allowed: Bool[Tensor, "#B #N M"] | None = None
    ) -> tuple[Float[Tensor, "B N D"], KVCache]:
        """Features of the tokens through all blocks, and their own keys and values, which later tokens attend to.

        ``allowed``: as in ``forward``.
        """
        after, kept = self.run(sequence, cache, self.config.depth + self.config.deep, allowed)
        return self._features(sequence, after[-1], deep=True), kept

    def _features(self, sequence: TokenSequence, x: Tensor, deep: bool) -> Tensor:
        """What heads read: the last block's tokens, normalised and modulated."""
        shared = self._modulation(sequence)
        final = self.final_deep if deep and self.final_deep is not None else self.final
        shift, scale = (shared[..., : 2 * shared.shape[-1] // 6] + final.to(shared.dtype)).chunk(2, -1)
        return modulate(self.norm(x), shift, scale)
