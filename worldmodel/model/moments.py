"""Moment after moment: how a model that streams reads what was seen and done, and foresees what comes next.

A moment is read alone: its frames, the robot's state and the action carried out from it attend to one another and to
nothing else. So its keys and values never depend on the moments around it; they stay true in a cache while others come
and go, and one moment can be replaced without reading the rest again. What the moments say together is read by the
tokens of the next one, which attend to all of the last few moments in every block.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from worldmodel.backbone import Memory
from worldmodel.backbone.attention import rotate
from worldmodel.model.world import WorldModel
from worldmodel.tokens.stream import TokenStream


@dataclass(frozen=True)
class Moments:
    """T moments of each dream in a batch, and what was done in each.

    frames: patches in model units, (B, T, M, P). state, actions: physical units, (B, T, S) and (B, T, A); action t is
    carried out from moment t on. when: seconds on one clock, (T,).
    levels: how noisy the model is told each moment is, (B, T) in [0, 1].
    """

    frames: Float[Tensor, "B T M P"]
    state: Float[Tensor, "B T S"]
    actions: Float[Tensor, "B T A"]
    when: Float[Tensor, " T"]
    levels: Float[Tensor, "B T"]


@dataclass(frozen=True)
class Sought:
    """What one next moment of each of R dreams looks like at its noise.

    frames (R, M, P) and body (R, 1, S) in model units; levels (#R, 1) of both. last: the patches of the moment before
    it, over which its own are painted, (R, M, P). when: seconds, on the clock of what is remembered, (#R,).
    """

    frames: Float[Tensor, "R M P"]
    body: Float[Tensor, "R 1 S"]
    last: Float[Tensor, "R M P"]
    when: Float[Tensor, "#R"]
    levels: Float[Tensor, "#R 1"]


def per_moment(model: WorldModel) -> int:
    """Tokens of one moment: all cameras' patches, the state and the action."""
    return model.frames.per_time + 2


def read(model: WorldModel, moments: Moments) -> Memory:
    """Keys and values of every block, (B, heads, T * `per_moment`, head_dim), moment after moment."""
    batch, times = moments.state.shape[:2]
    state, actions = moments.state.flatten(0, 1), moments.actions.flatten(0, 1)
    tokens = [
        model.frames.tokens(moments.frames.flatten(0, 1)),
        model.proprioception.tokens(state),
        model.actions.single(actions, state),
    ]
    ends = moments.when + 1 / model.config.rate
    places = [model.frames.places(moments.when[:, None]), _instants(moments.when), _instants(ends)]
    values = torch.cat(tokens, dim=1)
    which = torch.zeros(1, values.shape[1], dtype=torch.int64, device=values.device)
    spots = torch.cat(places, dim=1).repeat(batch, 1, 1)
    memory, _ = model.backbone.observe(TokenStream(values, spots, moments.levels.reshape(-1, 1), which))
    return [(_in_a_row(keys, times), _in_a_row(values, times)) for keys, values in memory]


def earlier(model: WorldModel, memory: Memory, seconds: float) -> Memory:
    """The same memory, every moment so many seconds earlier: keys are turned on, values know no time.

    So a stream needs no clock that runs on: its present is always at 0, and the thousandth step is like the tenth.
    """
    keys = memory[0][0]
    place = torch.tensor([-seconds, 0.0, 0.0], device=keys.device)
    turn = model.backbone.rotary(place.expand(keys.shape[2], -1))
    return [(rotate(keys, turn), values) for keys, values in memory]


def look_back(model: WorldModel, memory: Memory, times: int) -> tuple[Memory, Bool[Tensor, "T M"]]:
    """What each next moment may read when those after each of ``times`` moments are foreseen at once, as in training.

    The moment after t reads t - window + 1 to t: memory (B * T, heads, window * `per_moment`, head_dim), and which of
    it is there, since nothing was before the first.
    """
    device, window = memory[0][0].device, model.config.window
    index = torch.arange(times, device=device)[:, None] + torch.arange(1 - window, 1, device=device)
    inside = index.clamp(min=0)

    def rows(values: Tensor) -> Tensor:
        return rearrange(values.unflatten(2, (times, -1))[:, :, inside], "b h t w n d -> (b t) h (w n) d")

    there = (index >= 0).repeat_interleave(per_moment(model), dim=1)
    return [(rows(keys), rows(values)) for keys, values in memory], there


def foresee(
    model: WorldModel, memory: Memory, sought: Sought, there: Bool[Tensor, "#R M"] | None = None
) -> dict[str, Tensor]:
    """The clean ``frames`` and ``body`` that noisy ones turn out to be, in model units, after what is remembered.

    Also ``carried``, what these frames are painted over: those before them, warped where the model warps.
    ``there``: which of the memory's tokens may be read; all of them where absent.
    """
    if model.body is None:
        raise ValueError("this model does not stream: it was built with window=0")
    tokens = torch.cat([model.body.tokens(sought.body), model.frames.tokens(sought.frames)], dim=1)
    places = torch.cat([_instants(sought.when), model.frames.places(sought.when[:, None])], dim=1)
    which = torch.zeros(1, tokens.shape[1], dtype=torch.int64, device=tokens.device)
    allowed = None
    if there is not None:
        allowed = torch.cat([there, there.new_ones(len(there), tokens.shape[1])], dim=1)[:, None]
    features, _ = model.backbone(TokenStream(tokens, places, sought.levels, which), memory, allowed)
    carried = model.frames.carry(features[:, 1:], sought.last)
    frames = model.frames.paint(features[:, 1:], carried)
    return {"body": model.body.read(features[:, :1]), "frames": frames, "carried": carried}


def _instants(when: Float[Tensor, " T"]) -> Float[Tensor, "T 1 3"]:
    """Places of what has a time but no row or column."""
    return torch.stack([when, torch.zeros_like(when), torch.zeros_like(when)], dim=-1)[:, None]


def _in_a_row(values: Float[Tensor, "R h N d"], times: int) -> Float[Tensor, "B h X d"]:
    return rearrange(values, "(b t) h n d -> b h (t n) d", t=times)
