"""What an imagined rollout remembers, and the time step after it.

The tokens of a time step (frames, state and the action executed from it) attend only to one another, so their keys and
values stay valid for ever, and time steps at growing distances can be remembered. The next one's tokens attend to all
that is remembered, in every block, and say how the last frames change.
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
class TimeSteps:
    """T time steps of each of B rollouts.

    frames: pixels in model units, (B, T, C, H, W, 3). state, actions: physical units, (B, T, S) and (B, T, A); action t
    is executed from time step t on. when: seconds on one clock, (T,). own: how many imagined steps lie between a time
    step and the last observed one, 0 for one that was observed, int64 (B, T).
    """

    frames: Float[Tensor, "B T C H W 3"]
    state: Float[Tensor, "B T S"]
    actions: Float[Tensor, "B T A"]
    when: Float[Tensor, " T"]
    own: Int[Tensor, "B T"]


def doubt(own: Int[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """The noise level that stands for so many imagined steps: 0 for what was observed, 0.1 after one, 0.9 at most."""
    return torch.where(own > 0, 0.1 + 0.1 * own.clamp(min=1).float().log2(), 0.0).clamp(max=0.9)


def tokens_per_step(model: WorldModel) -> int:
    """Tokens of one time step: all cameras' patches, the state and the action."""
    return model.frames.per_time + 2


def read(model: WorldModel, history: TimeSteps) -> tuple[KVCache, Float[Tensor, "R M D"]]:
    """Keys and values of every block, (B * T, heads, `tokens_per_step`, head_dim), and the embedded frames."""
    batch = len(history.state)
    state, actions = history.state.flatten(0, 1), history.actions.flatten(0, 1)
    frames = model.frames.tokens(model.frames.patches(history.frames.flatten(0, 1)[:, None]))
    values = torch.cat([frames, model.proprioception.tokens(state), model.actions.single(actions, state)], dim=1)
    ends = history.when + 1 / model.config.control_hz
    positions = [
        model.frames.positions(history.when[:, None]),
        instants(history.when)[:, None],
        instants(ends)[:, None],
    ]
    level_index = torch.zeros(1, values.shape[1], dtype=torch.int64, device=values.device)
    spots, levels = torch.cat(positions, dim=1).repeat(batch, 1, 1), doubt(history.own).reshape(-1, 1)
    memory, _ = model.backbone.observe(TokenSequence(values, spots, levels, level_index), deep=True)
    return memory, frames


def in_a_row(memory: KVCache, times: int) -> KVCache:
    """TimeSteps of each rollout one after another: (B * T, heads, M, d) to (B, heads, T * M, d)."""
    return [
        (rearrange(k, "(b t) h m d -> b h (t m) d", t=times), rearrange(v, "(b t) h m d -> b h (t m) d", t=times))
        for k, v in memory
    ]


def predict(
    model: WorldModel,
    memory: KVCache,
    embedded: Float[Tensor, "B M D"],
    last: Float[Tensor, "B C H W 3"],
    when: float,
    allowed: Bool[Tensor, "B N"] | None = None,
) -> tuple[Float[Tensor, "B C H W 3"], Float[Tensor, "B S"]]:
    """The next frames, and how the state changes, both in model units.

    memory: of the remembered time steps, the present one among them, (B, heads, N, d); ``allowed``: which of its tokens
    may be read, all where absent. embedded, last: the present frames, as `read` embeds them and as pixels. when: of the
    next time step, seconds on the memory's clock. Raises ValueError for a model without a memory.
    """
    if model.body is None or model.ahead is None or model.warps is None:
        raise ValueError("this model does not roll out: it was built without a memory")
    batch, device = len(last), last.device
    body = model.body.tokens(torch.zeros(batch, 1, model.body.dim, device=device))
    values = torch.cat([body, embedded + model.ahead], dim=1)
    at = torch.full((1,), when, device=device)
    positions = torch.cat([instants(at), model.frames.positions(at)], dim=0)
    level_index = torch.zeros(1, values.shape[1], dtype=torch.int64, device=device)
    sequence = TokenSequence(values, positions, torch.ones(1, 1, device=device), level_index)
    if allowed is not None:
        allowed = torch.cat([allowed, allowed.new_ones(batch, values.shape[1])], dim=1)[:, None]
    features, _ = model.backbone(sequence, memory, allowed, deep=True)
    cameras = len(model.config.cameras)
    each = rearrange(features[:, 1:], "b (c n) d -> (b c) n d", c=cameras)
    frames = model.warps(each, last.flatten(0, 1)).unflatten(0, (batch, cameras))
    return frames, model.body.read(features[:, :1])[:, 0]
