"""Past steps of imagined rollouts as a key-value cache, and the prediction of the step after them.

The tokens of a step (frames, state and the action executed from it) attend only to one another, so that their keys and
values never change and steps can be dropped or replaced. The next step's tokens attend to all cached ones.
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


def encode_steps(model: WorldModel, history: RolloutHistory) -> tuple[KVCache, Float[Tensor, "B T M D"]]:
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
    features = _next_features(model, cache, tokens, when, levels, valid)
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


def regress_next(
    model: WorldModel,
    cache: KVCache,
    embedded: Float[Tensor, "B M D"],
    last: Float[Tensor, "B C H W 3"],
    when: Float[Tensor, "1"],
    valid: Bool[Tensor, "B N"] | None = None,
) -> tuple[Float[Tensor, "B C H W 3"], Float[Tensor, "B S"]]:
    """The next frames, and how the state changes, both in model units, in one pass.

    embedded, last: the present frames, as `encode_steps` embeds them and as pixels. when, valid: see `denoise_next`.
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
