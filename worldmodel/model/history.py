"""Reading past steps and denoising the next one, for imagined rollouts.

The tokens of a step (frames, state and the action executed from it) attend only to one another, so its cached keys and
values never depend on other steps: steps can be dropped or replaced. The next step's tokens attend to the whole window
in every block.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from worldmodel.backbone import KVCache
from worldmodel.backbone.attention import rotate
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


def per_moment(model: WorldModel) -> int:
    """Tokens of one step: all cameras' patches, the state and the action."""
    return model.frames.per_time + 2


def read(model: WorldModel, moments: RolloutHistory) -> KVCache:
    """Keys and values of every block, (B, heads, T * `per_moment`, head_dim), step after step."""
    batch, times = moments.state.shape[:2]
    state, actions = moments.state.flatten(0, 1), moments.actions.flatten(0, 1)
    tokens = [
        model.frames.tokens(moments.frames.flatten(0, 1)),
        model.proprioception.tokens(state),
        model.actions.single(actions, state),
    ]
    ends = moments.when + 1 / model.config.control_hz
    positions = [
        model.frames.positions(moments.when[:, None]),
        instants(moments.when)[:, None],
        instants(ends)[:, None],
    ]
    values = torch.cat(tokens, dim=1)
    level_index = torch.zeros(1, values.shape[1], dtype=torch.int64, device=values.device)
    spots = torch.cat(positions, dim=1).repeat(batch, 1, 1)
    memory, _ = model.backbone.observe(TokenSequence(values, spots, moments.levels.reshape(-1, 1), level_index))
    return [(_in_a_row(keys, times), _in_a_row(values, times)) for keys, values in memory]


def shift_cache(model: WorldModel, memory: KVCache, seconds: float) -> KVCache:
    """The same cache, every step ``seconds`` earlier: keys are rotated, values have no time.

    The present thus stays at time 0, and step 1,000 is computed like step 10.
    """
    keys = memory[0][0]
    place = torch.tensor([-seconds, 0.0, 0.0], device=keys.device)
    turn = model.backbone.rotary(place.expand(keys.shape[2], -1))
    return [(rotate(keys, turn), values) for keys, values in memory]


def sliding_window(model: WorldModel, memory: KVCache, times: int) -> tuple[KVCache, Bool[Tensor, "T M"]]:
    """The cache of each next step when those after all of ``times`` steps are predicted at once, as in training.

    The step after t reads t - window + 1 to t: cache (B * T, heads, window * `per_moment`, head_dim), and which of its
    tokens exist, since nothing precedes the first step.
    """
    device, window = memory[0][0].device, model.config.window
    index = torch.arange(times, device=device)[:, None] + torch.arange(1 - window, 1, device=device)
    inside = index.clamp(min=0)

    def rows(values: Tensor) -> Tensor:
        return rearrange(values.unflatten(2, (times, -1))[:, :, inside], "b h t w n d -> (b t) h (w n) d")

    there = (index >= 0).repeat_interleave(per_moment(model), dim=1)
    return [(rows(keys), rows(values)) for keys, values in memory], there


def denoise_next(
    model: WorldModel, memory: KVCache, sought: NoisyNext, there: Bool[Tensor, "#R M"] | None = None
) -> dict[str, Tensor]:
    """Clean ``frames`` and ``body`` of a noisy next step in model units, and ``warped``, which frames are painted over.

    ``there``: which of the cache's tokens may be read; all where absent.
    """
    if model.body is None:
        raise ValueError("this model does not stream: it was built with window=0")
    tokens = torch.cat([model.body.tokens(sought.body), model.frames.tokens(sought.frames)], dim=1)
    positions = torch.cat([instants(sought.when)[:, None], model.frames.positions(sought.when[:, None])], dim=1)
    level_index = torch.zeros(1, tokens.shape[1], dtype=torch.int64, device=tokens.device)
    allowed = None
    if there is not None:
        allowed = torch.cat([there, there.new_ones(len(there), tokens.shape[1])], dim=1)[:, None]
    features, _ = model.backbone(TokenSequence(tokens, positions, sought.levels, level_index), memory, allowed)
    warped = model.frames.carry(features[:, 1:], sought.last)
    frames = model.frames.paint(features[:, 1:], warped)
    return {"body": model.body.read(features[:, :1]), "frames": frames, "warped": warped}


def _in_a_row(values: Float[Tensor, "R h N d"], times: int) -> Float[Tensor, "B h X d"]:
    return rearrange(values, "(b t) h n d -> b h (t n) d", t=times)
