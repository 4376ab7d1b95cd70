"""Past steps of imagined rollouts as a key-value cache, and the prediction of the step after them.

The tokens of a time step (frames, state and the action executed from it) attend only to one another, so their keys and
values never change: steps can be dropped, replaced, or kept at growing distances. The next step's tokens attend to all
cached ones, in every block.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldmodel.backbone import KVCache
from worldmodel.flow.sampler import sample
from worldmodel.model.world import WorldModel
from worldmodel.tokens.sequence import TokenSequence, instants


@dataclass(frozen=True)
class RolloutHistory:
    """T past steps of each of B rollouts.

    frames: patches in model units. state, actions: physical units; action t is executed from step t on. when: seconds
    on one clock. levels: noise levels that the model is conditioned on, in [0, 1].
    """

    frames: Float[Tensor, "B T M P"]
    state: Float[Tensor, "B T S"]
    actions: Float[Tensor, "B T A"]
    when: Float[Tensor, " T"]
    levels: Float[Tensor, "B T"]

    def part(self, first: int, end: int) -> RolloutHistory:
        """Its steps ``first`` to ``end`` - 1."""
        frames, state, actions = (each[:, first:end] for each in (self.frames, self.state, self.actions))
        return RolloutHistory(frames, state, actions, self.when[first:end], self.levels[:, first:end])


@dataclass(frozen=True)
class NoisyNext:
    """The noisy next step of each of R rollouts.

    frames, body: model units, at ``levels``. last: patches of the step before, over which the new ones are painted.
    when: seconds, on the cache's clock.
    """

    frames: Float[Tensor, "R M P"]
    body: Float[Tensor, "R 1 S"]
    last: Float[Tensor, "R M P"]
    when: Float[Tensor, "#R"]
    levels: Float[Tensor, "#R 1"]


def self_noise_level(imagined: Int[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """The noise level that stands for so many imagined steps since an observation: 0.1 after one, 0.9 at most."""
    return torch.where(imagined > 0, 0.1 + 0.1 * imagined.clamp(min=1).float().log2(), 0.0).clamp(max=0.9)


def tokens_per_step(model: WorldModel) -> int:
    """Tokens of one step: all cameras' patches, the state and the action."""
    return model.frames.per_time + 2


def encode_history(model: WorldModel, history: RolloutHistory) -> tuple[KVCache, Float[Tensor, "B T M D"]]:
    """Keys and values of every block, (B, heads, T * `tokens_per_step`, head_dim), and the embedded frames."""
    (batch, times), when = history.state.shape[:2], history.when
    state, actions = history.state.flatten(0, 1), history.actions.flatten(0, 1)
    frames = model.frames.tokens(history.frames.flatten(0, 1))
    values = torch.cat([frames, model.proprioception.tokens(state), model.actions.single(actions, state)], dim=1)
    ends = instants(torch.stack([when, when + 1 / model.config.control_hz], dim=1))
    positions = torch.cat([model.frames.positions(when[:, None]), ends], dim=1).repeat(batch, 1, 1)
    level_index = torch.zeros(1, values.shape[1], dtype=torch.int64, device=values.device)
    sequence = TokenSequence(values, positions, history.levels.reshape(-1, 1), level_index)
    cache, _ = model.backbone.observe(sequence, deep=True)
    pattern = "(b t) h n d -> b h (t n) d"
    rows = [(rearrange(k, pattern, t=times), rearrange(v, pattern, t=times)) for k, v in cache]
    return rows, frames.unflatten(0, (batch, times))


def sliding_window(model: WorldModel, cache: KVCache, times: int) -> tuple[KVCache, Bool[Tensor, "T M"]]:
    """The cache of each next step when those after all of ``times`` steps are predicted at once, as in training.

    The step after t attends to t - window + 1 to t: cache (B * T, heads, window * `tokens_per_step`, head_dim), and
    which of its tokens exist, since nothing precedes the first step.
    """
    device, window = cache[0][0].device, model.config.window
    index = torch.arange(times, device=device)[:, None] + torch.arange(1 - window, 1, device=device)
    inside = index.clamp(min=0)

    def rows(values: Tensor) -> Tensor:
        return rearrange(values.unflatten(2, (times, -1))[:, :, inside], "b h t w n d -> (b t) h (w n) d")

    valid = (index >= 0).repeat_interleave(tokens_per_step(model), dim=1)
    return [(rows(keys), rows(values)) for keys, values in cache], valid


def denoise_next(
    model: WorldModel, cache: KVCache, noisy: NoisyNext, valid: Bool[Tensor, "#R M"] | None = None
) -> dict[str, Tensor]:
    """Clean ``frames`` and ``body`` of a noisy next step in model units. ``valid``: of the cache's tokens, default all."""
    assert model.body is not None
    tokens = torch.cat([model.body.tokens(noisy.body), model.frames.tokens(noisy.frames)], dim=1)
    features = _next_features(model, cache, tokens, noisy.when, noisy.levels, valid)
    return {"body": model.body.read(features[:, :1]), "frames": model.frames.paint(features[:, 1:], noisy.last)}


def sample_next(
    model: WorldModel,
    cache: KVCache,
    last: Float[Tensor, "B M P"],
    when: Float[Tensor, "1"],
    noise: dict[str, Tensor],
    levels: Float[Tensor, " L"],
    valid: Bool[Tensor, "#B N"] | None = None,
) -> dict[str, Tensor]:
    """`denoise_next` from ``noise`` over the sampler's ``levels``, from 1 to 0."""

    def denoise(values: dict[str, Tensor], level: Tensor) -> dict[str, Tensor]:
        at = level.to(last.device).view(1, 1)
        return denoise_next(model, cache, NoisyNext(values["frames"], values["body"], last, when, at), valid)

    return sample(denoise, noise, levels)


def regress_next(
    model: WorldModel,
    cache: KVCache,
    embedded: Float[Tensor, "B M D"],
    last: Float[Tensor, "B C H W 3"],
    when: Float[Tensor, "1"],
    valid: Bool[Tensor, "B N"] | None = None,
) -> tuple[Float[Tensor, "B C H W 3"], Float[Tensor, "B S"]]:
    """The next frames, and how the state changes, both in model units, in one pass.

    cache: the present step among them. embedded, last: the present frames, as `encode_history` embeds them and as
    pixels in model units. when: of the next step, seconds on the cache's clock.
    """
    assert model.body is not None and model.ahead is not None and model.warps is not None
    batch, cameras = last.shape[:2]
    body = model.body.tokens(torch.zeros(batch, 1, model.body.dim, device=last.device))
    pure = torch.ones(1, 1, device=last.device)
    features = _next_features(model, cache, torch.cat([body, embedded + model.ahead], dim=1), when, pure, valid)
    each = rearrange(features[:, 1:], "b (c n) d -> (b c) n d", c=cameras)
    frames = model.warps(each, last.flatten(0, 1)).unflatten(0, (batch, cameras))
    return frames, model.body.read(features[:, :1])[:, 0]


def _next_features(
    model: WorldModel, cache: KVCache, tokens: Tensor, when: Tensor, levels: Tensor, valid: Tensor | None
) -> Tensor:
    """Features of the next step's tokens, the state's first."""
    positions = torch.cat([instants(when)[:, None], model.frames.positions(when[:, None])], dim=1)
    level_index = torch.zeros(1, tokens.shape[1], dtype=torch.int64, device=tokens.device)
    allowed = None
    if valid is not None:
        allowed = torch.cat([valid, valid.new_ones(len(valid), tokens.shape[1])], dim=1)[:, None]
    return model.backbone(TokenSequence(tokens, positions, levels, level_index), cache, allowed, deep=True)[0]
