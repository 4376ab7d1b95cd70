"""What an imagined rollout remembers, and the time step after it.

The tokens of a time step (frames, state and the action executed from it) attend only to one another, so their keys and
values stay valid for ever: steps can be dropped, replaced, or remembered at growing distances. The next step's tokens
attend to all that is remembered, in every block.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldmodel.backbone import KVCache
from worldmodel.model.world import WorldModel
from worldmodel.tokens.sequence import TokenSequence, instants


@dataclass(frozen=True)
class RolloutHistory:
    """T past steps of each of B rollouts.

    frames: patches in model units, (B, T, M, P). state, actions: physical units, (B, T, S) and (B, T, A); action t is
    executed from step t on. when: seconds on one clock, (T,). levels: noise levels given to the model, (B, T) in [0,
    1].
    """

    frames: Float[Tensor, "B T M P"]
    state: Float[Tensor, "B T S"]
    actions: Float[Tensor, "B T A"]
    when: Float[Tensor, " T"]
    levels: Float[Tensor, "B T"]

    def part(self, first: int, end: int) -> RolloutHistory:
        """Its steps ``first`` to ``end`` - 1."""
        frames, state, actions, levels = (
            each[:, first:end] for each in (self.frames, self.state, self.actions, self.levels)
        )
        return RolloutHistory(frames, state, actions, self.when[first:end], levels)


@dataclass(frozen=True)
class NoisyNext:
    """The noisy next step of each of R rollouts.

    frames (R, M, P) and body (R, 1, S) in model units; levels (#R, 1) of both. last: patches of the step before, over
    which the new ones are painted, (R, M, P). when: seconds, on the cache's clock, (#R,).
    """

    frames: Float[Tensor, "R M P"]
    body: Float[Tensor, "R 1 S"]
    last: Float[Tensor, "R M P"]
    when: Float[Tensor, "#R"]
    levels: Float[Tensor, "#R 1"]


def doubt(own: Int[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """The noise level that stands for so many imagined steps since an observation: 0.1 after one, 0.9 at most."""
    return torch.where(own > 0, 0.1 + 0.1 * own.clamp(min=1).float().log2(), 0.0).clamp(max=0.9)


def tokens_per_step(model: WorldModel) -> int:
    """Tokens of one step: all cameras' patches, the state and the action."""
    return model.frames.per_time + 2


def read(model: WorldModel, history: RolloutHistory) -> tuple[KVCache, Float[Tensor, "B T M D"]]:
    """Keys and values of every block, (B, heads, T * `tokens_per_step`, head_dim), and the embedded frames."""
    batch, times = history.state.shape[:2]
    state, actions = history.state.flatten(0, 1), history.actions.flatten(0, 1)
    frames = model.frames.tokens(history.frames.flatten(0, 1))
    tokens = [frames, model.proprioception.tokens(state), model.actions.single(actions, state)]
    ends = history.when + 1 / model.config.control_hz
    positions = [
        model.frames.positions(history.when[:, None]),
        instants(history.when)[:, None],
        instants(ends)[:, None],
    ]
    values = torch.cat(tokens, dim=1)
    level_index = torch.zeros(1, values.shape[1], dtype=torch.int64, device=values.device)
    spots = torch.cat(positions, dim=1).repeat(batch, 1, 1)
    sequence = TokenSequence(values, spots, history.levels.reshape(-1, 1), level_index)
    memory, _ = model.backbone.observe(sequence, deep=True)
    return [(_in_a_row(k, times), _in_a_row(v, times)) for k, v in memory], frames.unflatten(0, (batch, times))


def sliding_window(model: WorldModel, memory: KVCache, times: int) -> tuple[KVCache, Bool[Tensor, "T M"]]:
    """The cache of each next step when those after all of ``times`` steps are predicted at once, as in training.

    The step after t reads t - window + 1 to t: cache (B * T, heads, window * `tokens_per_step`, head_dim), and which of
    its tokens exist, since nothing precedes the first step.
    """
    device, window = memory[0][0].device, model.config.window
    index = torch.arange(times, device=device)[:, None] + torch.arange(1 - window, 1, device=device)
    inside = index.clamp(min=0)

    def rows(values: Tensor) -> Tensor:
        return rearrange(values.unflatten(2, (times, -1))[:, :, inside], "b h t w n d -> (b t) h (w n) d")

    there = (index >= 0).repeat_interleave(tokens_per_step(model), dim=1)
    return [(rows(keys), rows(values)) for keys, values in memory], there


def denoise_next(
    model: WorldModel, memory: KVCache, sought: NoisyNext, there: Bool[Tensor, "#R M"] | None = None
) -> dict[str, Tensor]:
    """Clean ``frames`` and ``body`` of a noisy next step in model units.

    ``there``: which of the cache's tokens may be read; all where absent.
    """
    assert model.body is not None
    tokens = torch.cat([model.body.tokens(sought.body), model.frames.tokens(sought.frames)], dim=1)
    features = _next_features(model, memory, tokens, sought.when, sought.levels, there)
    return {"body": model.body.read(features[:, :1]), "frames": model.frames.paint(features[:, 1:], sought.last)}


def regress_next(
    model: WorldModel,
    memory: KVCache,
    embedded: Float[Tensor, "B M D"],
    last: Float[Tensor, "B C H W 3"],
    when: Float[Tensor, "1"],
    there: Bool[Tensor, "B N"] | None = None,
) -> tuple[Float[Tensor, "B C H W 3"], Float[Tensor, "B S"]]:
    """The next frames, and how the state changes, both in model units, in one pass.

    memory: of the remembered steps, the present one among them, (B, heads, N, d). embedded, last: the present frames,
    as `read` embeds them and as pixels. when: of the next step, seconds on the memory's clock.
    """
    assert model.body is not None and model.ahead is not None and model.warps is not None
    batch, cameras = last.shape[:2]
    body = model.body.tokens(torch.zeros(batch, 1, model.body.dim, device=last.device))
    pure = torch.ones(1, 1, device=last.device)
    features = _next_features(model, memory, torch.cat([body, embedded + model.ahead], dim=1), when, pure, there)
    each = rearrange(features[:, 1:], "b (c n) d -> (b c) n d", c=cameras)
    frames = model.warps(each, last.flatten(0, 1)).unflatten(0, (batch, cameras))
    return frames, model.body.read(features[:, :1])[:, 0]


def _next_features(
    model: WorldModel, memory: KVCache, tokens: Tensor, when: Tensor, levels: Tensor, there: Tensor | None
) -> Tensor:
    """Features of the next step's tokens, the state's first."""
    positions = torch.cat([instants(when)[:, None], model.frames.positions(when[:, None])], dim=1)
    level_index = torch.zeros(1, tokens.shape[1], dtype=torch.int64, device=tokens.device)
    allowed = None
    if there is not None:
        allowed = torch.cat([there, there.new_ones(len(there), tokens.shape[1])], dim=1)[:, None]
    return model.backbone(TokenSequence(tokens, positions, levels, level_index), memory, allowed, deep=True)[0]


def _in_a_row(values: Float[Tensor, "R h N d"], times: int) -> Float[Tensor, "B h X d"]:
    return rearrange(values, "(b t) h n d -> b h (t n) d", t=times)
