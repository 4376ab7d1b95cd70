"""Past steps of imagined rollouts as a key-value cache, and the prediction of the step after them.

A model with a memory makes one pass a step: the present step's tokens (frames, state and the action executed from it)
attend to the remembered steps' keys and values and predict the next frames and state. A model without denoises the next
step's tokens over a window of steps, whose tokens attend only to those of their own step. Either way keys and values
once computed never change, and steps can be dropped.
"""

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldmodel.backbone import KVCache
from worldmodel.flow.sampler import sample
from worldmodel.model.records import RolloutHistory
from worldmodel.model.world import WorldModel
from worldmodel.tokens.sequence import TokenSequence, instants


def self_noise_level(imagined: Int[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """The noise level that stands for so many imagined steps since an observation: 0.1 after one, 0.9 at most."""
    return torch.where(imagined > 0, 0.1 + 0.1 * imagined.clamp(min=1).float().log2(), 0.0).clamp(max=0.9)


def tokens_per_step(model: WorldModel) -> int:
    """Tokens of one step: all cameras' patches, the state and the action."""
    return model.frames.per_time + 2


def stacked(cache: KVCache) -> Float[Tensor, "KV B heads N d"]:
    """All blocks' keys and values as one tensor: the first block's keys, its values, the second's keys, ..."""
    return torch.stack([part for pair in cache for part in pair])


def unstacked(kept: Float[Tensor, "KV B heads N d"]) -> KVCache:
    """The inverse of `stacked`."""
    return list(zip(kept[0::2], kept[1::2], strict=True))


def advance(
    model: WorldModel,
    cache: KVCache | None,
    present: RolloutHistory,
    last: Float[Tensor, "B C H W 3"],
    valid: Bool[Tensor, "B N"] | None = None,
) -> tuple[Float[Tensor, "B C H W 3"], Float[Tensor, "B S"], KVCache]:
    """The next frames and the state's change, in model units, and the present step's own keys and values, in one pass.

    present: one step (T = 1), ``last`` its frames as pixels. cache: keys and values of the remembered steps, valid:
    which of its tokens exist; all where absent. For models with ``memory``.
    """
    assert model.body is not None and model.warps is not None
    sequence, allowed = _tokens(model, present), None
    if cache is not None:
        cache = [(k.to(sequence.values.dtype), v.to(sequence.values.dtype)) for k, v in cache]
    if valid is not None:
        allowed = torch.cat([valid, valid.new_ones(len(valid), len(sequence))], dim=1)[:, None]
    features, own = model.backbone.extend(sequence, cache, allowed)
    each = rearrange(features[:, :-2], "b (c n) d -> (b c) n d", c=last.shape[1])
    frames = model.warps(each, last.flatten(0, 1)).unflatten(0, last.shape[:2])
    return frames, model.body.read(features[:, -2:-1])[:, 0], own


def encode_steps(model: WorldModel, history: RolloutHistory) -> KVCache:
    """Keys and values of every block, (B, heads, T * `tokens_per_step`, head_dim), of steps encoded each alone."""
    times, pattern = history.state.shape[1], "(b t) h n d -> b h (t n) d"
    cache, _ = model.backbone.observe(_tokens(model, history), deep=True)
    return [(rearrange(k, pattern, t=times), rearrange(v, pattern, t=times)) for k, v in cache]


def _tokens(model: WorldModel, history: RolloutHistory) -> TokenSequence:
    """The tokens of B * T steps, each a row: frames, state, action."""
    batch, when = len(history.state), history.when
    state, actions = history.state.flatten(0, 1), history.actions.flatten(0, 1)
    frames = model.frames.tokens(history.frames.flatten(0, 1))
    values = torch.cat([frames, model.proprioception.tokens(state), model.actions.single(actions, state)], dim=1)
    ends = instants(torch.stack([when, when + 1 / model.config.control_hz], dim=1))
    positions = torch.cat([model.frames.positions(when[:, None]), ends], dim=1).repeat(batch, 1, 1)
    level_index = torch.zeros(1, values.shape[1], dtype=torch.int64, device=values.device)
    return TokenSequence(values, positions, history.levels.reshape(-1, 1), level_index)


def denoise_next(
    model: WorldModel,
    cache: KVCache,
    noisy: dict[str, Tensor],
    last: Float[Tensor, "R M P"],
    when: Float[Tensor, "#R"],
    levels: Float[Tensor, "#R 1"],
    valid: Bool[Tensor, "#R N"] | None = None,
) -> dict[str, Tensor]:
    """Clean ``frames`` (R, M, P) and ``body`` (R, 1, S) of the next step from noisy ones at ``levels``, in model units.

    last: patches of the step before, over which the new ones are painted. when: of the next step, seconds on the
    cache's clock. valid: which of the cache's tokens exist; all where absent.
    """
    assert model.body is not None
    tokens = torch.cat([model.body.tokens(noisy["body"]), model.frames.tokens(noisy["frames"])], dim=1)
    positions = torch.cat([instants(when)[:, None], model.frames.positions(when[:, None])], dim=1)
    level_index = torch.zeros(1, tokens.shape[1], dtype=torch.int64, device=tokens.device)
    allowed = None
    if valid is not None:
        allowed = torch.cat([valid, valid.new_ones(len(valid), tokens.shape[1])], dim=1)[:, None]
    sequence = TokenSequence(tokens, positions, levels, level_index)
    features, _ = model.backbone(sequence, cache, allowed, deep=True)
    return {"body": model.body.read(features[:, :1]), "frames": model.frames.paint(features[:, 1:], last)}


def sample_next(
    model: WorldModel,
    cache: KVCache,
    noise: dict[str, Tensor],
    last: Float[Tensor, "B M P"],
    when: Float[Tensor, "1"],
    levels: Float[Tensor, " L"],
    valid: Bool[Tensor, "#B N"] | None = None,
) -> dict[str, Tensor]:
    """`denoise_next` from pure noise over the sampler's ``levels``, from 1 to 0."""

    def denoise(values: dict[str, Tensor], level: Tensor) -> dict[str, Tensor]:
        return denoise_next(model, cache, values, last, when, level.to(last.device).view(1, 1), valid)

    return sample(denoise, noise, levels)
