"""Training for imagined rollouts: every next step of a clip at once, after recorded and self-generated history."""

from dataclasses import replace

import torch
from einops import rearrange
from jaxtyping import Bool
from torch import Tensor
from torch.nn.functional import interpolate

from worldmodel.backbone import KVCache
from worldmodel.flow import NoiseSample, mix
from worldmodel.model import WorldModel
from worldmodel.model.history import denoise_next, encode_steps, sample_next, tokens_per_step
from worldmodel.model.records import RolloutHistory
from worldmodel.objectives.config import ObjectiveConfig
from worldmodel.objectives.losses import absolute_loss, flow_loss
from worldmodel.schema import STATE, Clip
from worldmodel.tokens.timesteps import SELF_NOISE_LEVEL

OWN = "own."
"""Before "frames" and "body": noise from which the model imagines steps of its own history."""

DRIFT, COARSE = "drift", 4
"""Noise of corrupted history: errors of all pixels alike and at a grid's COARSE^2 points, and the share of mixup."""


def rollout_loss(
    model: WorldModel, clip: Clip, noise: dict[str, NoiseSample], objective: ObjectiveConfig
) -> dict[str, Tensor]:
    """Losses ``frames`` and ``body`` of the steps after a clip's last W (the window), and their sum ``loss``.

    ``clip.future``: the T >= W next frames, one control step apart; ``clip.more_future[STATE]`` their states. The first
    T - W are burn-in. ``noise`` holds samples for ``frames`` and ``body`` (a level per step), and for ``observed``, the
    history's. With ``own.frames`` and ``own.body`` the last history steps are imagined without gradient (`self_force`);
    with ``drift`` the history is corrupted (`corrupt_history`). Targets stay the recorded ones. ``l1`` (where
    ``objective.l1`` > 0) is the frames' mean absolute error: the squared one alone leaves mottled surfaces and seams.
    """
    if model.body is None:
        raise ValueError("mode rollout needs a model built with a window")
    history, frames, state = history_and_targets(model, clip)
    if DRIFT in noise:
        history = corrupt_history(model, history, noise[DRIFT])
    if OWN + "body" in noise:
        own = noise[OWN + "frames"]
        history = self_force(model, history, own.eps, noise[OWN + "body"].eps, own.levels[0])
    window, times = noise["frames"].levels.shape[1], len(history.when)
    history, frames, state = history.part(times - window, times), frames[:, -window:], state[:, -window:]
    truth = {"body": model.body.encode(state, history.state), "frames": frames.flatten(1, 2)}
    noisy = {name: mix(clean, noise[name].eps, noise[name].noise()) for name, clean in truth.items()}
    noisy_history = with_noise(history, noise["observed"])
    found = denoise_steps(model, noisy_history, history.frames, noisy, noise["frames"].levels)
    valid = {"body": clip.future_valid[:, -window:]}
    valid["frames"] = valid["body"].repeat_interleave(model.frames.per_time, 1)
    losses = {
        name: flow_loss(found[name], clean, noise[name].noise(), valid[name], getattr(model, name).floor)
        for name, clean in truth.items()
    }
    if objective.l1:
        losses["l1"] = absolute_loss(found["frames"], truth["frames"], valid["frames"])
    return {"loss": sum((getattr(objective, n) * v for n, v in losses.items()), torch.zeros(()).to(state)), **losses}


def denoise_steps(
    model: WorldModel, history: RolloutHistory, last: Tensor, noisy: dict[str, Tensor], levels: Tensor
) -> dict[str, Tensor]:
    """Clean ``body`` (B, T, S) and ``frames`` (B, T * M, P) after each of T steps, in one causal pass.

    ``last`` (B, T, M, P): frames that are painted over. ``noisy``: same shapes as the result, at ``levels`` (B, T).
    """
    cache, valid = sliding_window(model, history)
    when = (history.when + 1 / model.config.control_hz).repeat(len(levels))
    frames, body = noisy["frames"].unflatten(1, last.shape[1:3]).flatten(0, 1), noisy["body"].flatten(0, 1)[:, None]
    steps = {"frames": frames, "body": body}
    found = denoise_next(model, cache, steps, last.flatten(0, 1), when, levels.reshape(-1, 1), valid)
    return {name: found[name].reshape(value.shape) for name, value in noisy.items()}


def sliding_window(model: WorldModel, history: RolloutHistory) -> tuple[KVCache, Bool[Tensor, "R M"]]:
    """The cache of every next step, and which of its tokens exist, since nothing precedes the first step.

    The step after t attends to t - window + 1 to t. R = B * T; cache (R, heads, window * `tokens_per_step`, head_dim).
    """
    (batch, times), device, window = history.levels.shape, history.levels.device, model.config.window
    index = torch.arange(times, device=device)[:, None] + torch.arange(1 - window, 1, device=device)
    inside = index.clamp(min=0)

    def rows(values: Tensor) -> Tensor:
        return rearrange(values.unflatten(2, (times, -1))[:, :, inside], "b h t w n d -> (b t) h (w n) d")

    cache = encode_steps(model, history)
    valid = (index >= 0).repeat_interleave(tokens_per_step(model), dim=1)
    return [(rows(keys), rows(values)) for keys, values in cache], valid.repeat(batch, 1)


def history_and_targets(model: WorldModel, clip: Clip) -> tuple[RolloutHistory, Tensor, Tensor]:
    """A clip's steps but the last as history, then patches (B, T, M, P) and states (B, T, S) of the step after each."""
    pixels = torch.cat([model.frames.observed(clip)[:, None], model.frames.later(clip)], dim=1)
    times = pixels.shape[1] - 1
    patches = model.frames.patches(pixels).unflatten(1, (times + 1, -1))
    state = torch.cat([clip.state[:, None], clip.more_future[STATE]], dim=1)
    when = torch.arange(times, device=state.device) / model.config.control_hz
    levels = torch.zeros(len(state), times, device=state.device)
    history = RolloutHistory(patches[:, :-1], state[:, :-1], clip.executed[:, :times], when, levels)
    return history, patches[:, 1:], state[:, 1:]


@torch.no_grad()
def self_force(
    model: WorldModel, history: RolloutHistory, frames: Tensor, body: Tensor, levels: Tensor
) -> RolloutHistory:
    """The same history, its last R < T steps imagined in order from the noise ``frames`` and ``body``, (B, R, .).

    Each follows the ``window`` steps before it, imagined ones included, and the executed actions. ``levels``: the
    sampler's (steps + 1,), from 1 to 0; few steps leave the noise that rollouts of so many steps leave.
    """
    assert model.body is not None
    own, times = body.shape[1], len(history.when)
    per, first, window = model.frames.per_time, times - own, model.config.window
    kept = window * tokens_per_step(model)
    patches, state, history_levels = history.frames.clone(), history.state.clone(), history.levels.clone()
    history_levels[:, first:] = SELF_NOISE_LEVEL
    cache = encode_steps(model, history.part(max(0, first - window), first))
    for n, t in enumerate(range(first, times)):
        start = {"frames": frames[:, n * per : (n + 1) * per], "body": body[:, n : n + 1]}
        found = sample_next(model, cache, start, patches[:, t - 1], history.when[t : t + 1], levels)
        patches[:, t] = found["frames"].clamp(-1, 1)
        state[:, t] = model.body.decode(found["body"][:, 0], state[:, t - 1])
        history = replace(history, frames=patches, state=state, levels=history_levels)
        if t + 1 < times:
            pairs = zip(cache, encode_steps(model, history.part(t, t + 1)), strict=True)
            cache = [
                (torch.cat([k, new_k], dim=2)[:, :, -kept:], torch.cat([v, new_v], dim=2)[:, :, -kept:])
                for (k, v), (new_k, new_v) in pairs
            ]
    return history


def corrupt_history(model: WorldModel, history: RolloutHistory, draw: NoiseSample) -> RolloutHistory:
    """The same history with the errors of a long rollout: each clip's frames off by one smooth error, or mixed.

    ``draw.eps`` (B, C, 3 * (1 + `COARSE`^2)): per camera and channel one value for all pixels, then a coarse grid's,
    which is interpolated. ``draw.levels`` (B, 2): the error's standard deviation in model units, and the weight of the
    next clip's frames that are mixed in. Clips with either above 0 get the noise level of imagined frames.
    """
    sizes, shares = draw.levels[:, :1], draw.levels[:, 1:, None, None]
    values = (draw.eps * sizes[..., None]).unflatten(2, (3, -1))
    size, coarse = model.frames.size, values[..., 1:].flatten(0, 1).unflatten(2, (COARSE, COARSE))
    smooth = interpolate(coarse, size=(size, size), mode="bicubic", align_corners=False)
    error = smooth.unflatten(0, values.shape[:2]) + values[..., :1, None]
    patches = model.frames.patches(error.permute(0, 1, 3, 4, 2)[:, None])
    levels = torch.where((draw.levels > 0).any(1, keepdim=True), SELF_NOISE_LEVEL, history.levels)
    mixed = torch.lerp(history.frames, history.frames.roll(1, 0), shares)
    return replace(history, frames=(mixed + patches[:, None]).clamp(-1, 1), levels=levels)


def with_noise(history: RolloutHistory, draw: NoiseSample) -> RolloutHistory:
    """Recorded steps at their sampled noise; imagined and corrupted ones (level above 0) as they are."""
    kept = history.levels > 0
    noisy = mix(history.frames, draw.eps.unflatten(1, history.frames.shape[1:3]), draw.levels[..., None, None])
    frames = torch.where(kept[..., None, None], history.frames, noisy)
    return replace(history, frames=frames, levels=torch.where(kept, history.levels, draw.levels))
