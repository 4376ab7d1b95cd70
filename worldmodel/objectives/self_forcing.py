"""Training for imagined rollouts: every next step of a clip at once, after real history and after the model's own."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from worldmodel.backbone import KVCache
from worldmodel.flow import NoiseSample, mix, sample
from worldmodel.model import WorldModel
from worldmodel.model.history import NoisyNext, RolloutHistory, denoise_next, read, sliding_window, tokens_per_step
from worldmodel.objectives.config import ObjectiveConfig
from worldmodel.objectives.losses import absolute_loss, flow_loss
from worldmodel.schema import STATE, Clip
from worldmodel.tokens.timesteps import SELF_NOISE_LEVEL

OWN = "own."
"""Before "frames" and "body": noise from which the model imagines the moments that then take real ones' places."""

DRIFT, COARSE = "drift", 4
"""What is wrong with frames looked back on: errors of all pixels alike, at a grid's COARSE^2 points, fading."""


def rollout_loss(
    model: WorldModel, clip: Clip, noise: dict[str, NoiseSample], objective: ObjectiveConfig
) -> dict[str, Tensor]:
    """Losses ``frames`` and ``body`` of the steps after a clip's last W (the window), and their sum ``loss``.

    ``clip.future``: the T >= W next frames, one control step apart; ``clip.more_future[STATE]`` their states. The first
    T - W are burn-in. ``noise`` holds samples for ``frames`` and ``body`` (a level per step), and for ``observed``, the
    history's. With ``own.frames`` and ``own.body`` the last history steps are imagined without gradient (`self_force`);
    with ``drift`` the history is corrupted (`corrupt_history`). Targets stay the recorded ones.

    ``l1`` (where ``objective.l1`` > 0) is the mean absolute error of the frames, model units: the squared error alone
    leaves mottled surfaces and seams.
    """
    if model.body is None:
        raise ValueError("mode stream needs a model built with a window")
    moments, frames, state = lay_out(model, clip)
    if DRIFT in noise:
        moments = corrupt_history(model, moments, noise[DRIFT])
    if OWN + "body" in noise:
        own = noise[OWN + "frames"]
        moments = self_force(model, moments, own.eps, noise[OWN + "body"].eps, own.levels[0])
    window, times = noise["frames"].levels.shape[1], len(moments.when)
    moments, frames, state = moments.part(times - window, times), frames[:, -window:], state[:, -window:]
    there = clip.future_valid[:, -window:]
    seen = replace(moments, frames=_doubted(moments, noise["observed"]), levels=_told(moments, noise["observed"]))
    noisy, truth = {}, {"body": model.body.encode(state, moments.state), "frames": frames.flatten(1, 2)}
    for name, clean in truth.items():
        noisy[name] = mix(clean, noise[name].eps, noise[name].noise())
    found = denoise_each(model, seen, moments.frames, noisy, noise["frames"].levels)
    valid = {"body": there, "frames": there.repeat_interleave(model.frames.per_time, 1)}
    losses = {
        name: flow_loss(found[name], clean, noise[name].noise(), valid[name], getattr(model, name).floor)
        for name, clean in truth.items()
    }
    if objective.l1:
        losses["l1"] = absolute_loss(found["frames"], truth["frames"], valid["frames"])
    return {"loss": sum((getattr(objective, n) * v for n, v in losses.items()), torch.zeros(()).to(state)), **losses}


def denoise_each(
    model: WorldModel, seen: RolloutHistory, last: Tensor, noisy: dict[str, Tensor], levels: Tensor
) -> dict[str, Tensor]:
    """Clean ``body`` (B, T, S) and ``frames`` (B, T * M, P) after each of T steps, in one pass.

    ``last`` (B, T, M, P): frames that are painted over. ``noisy``: same shapes as the result, at ``levels`` (B, T).
    Causal: no step reads later ones.
    """
    batch, times = levels.shape
    memory, there = sliding_window(model, read(model, seen)[0], times)
    when = (seen.when + 1 / model.config.control_hz).repeat(batch)
    frames, body = noisy["frames"].unflatten(1, (times, -1)).flatten(0, 1), noisy["body"].flatten(0, 1)[:, None]
    sought = NoisyNext(frames, body, last.flatten(0, 1), when, levels.reshape(-1, 1))
    found = denoise_next(model, memory, sought, there.repeat(batch, 1))
    return {"body": found["body"].reshape(batch, times, -1), "frames": found["frames"].reshape(noisy["frames"].shape)}


def lay_out(model: WorldModel, clip: Clip) -> tuple[RolloutHistory, Tensor, Tensor]:
    """A clip's steps but the last as history, then patches (B, T, M, P) and states (B, T, S) of the step after each."""
    pixels = torch.cat([model.frames.seen(clip)[:, None], model.frames.later(clip)], dim=1)
    times = pixels.shape[1] - 1
    patches = model.frames.patches(pixels).unflatten(1, (times + 1, -1))
    state = torch.cat([clip.state[:, None], clip.more_future[STATE]], dim=1)
    when = torch.arange(times, device=state.device) / model.config.control_hz
    levels = torch.zeros(len(state), times, device=state.device)
    return (
        RolloutHistory(patches[:, :-1], state[:, :-1], clip.executed[:, :times], when, levels),
        patches[:, 1:],
        state[:, 1:],
    )


@torch.no_grad()
def self_force(
    model: WorldModel, moments: RolloutHistory, frames: Tensor, body: Tensor, levels: Tensor
) -> RolloutHistory:
    """The same history, its last R < T steps imagined in order from the noise ``frames`` and ``body``, (B, R, .).

    Each follows the ``window`` steps before it, imagined ones included, and the executed actions. ``levels``: the
    sampler's (steps + 1,), from 1 to 0; few steps leave the noise that rollouts of so many steps leave.
    """
    assert model.body is not None
    own, times = body.shape[1], len(moments.when)
    per, first, window = model.frames.per_time, times - own, model.config.window
    kept = window * tokens_per_step(model)
    patches, state, told = moments.frames.clone(), moments.state.clone(), moments.levels.clone()
    told[:, first:] = SELF_NOISE_LEVEL
    memory, _ = read(model, moments.part(max(0, first - window), first))
    for n, t in enumerate(range(first, times)):
        last, when = patches[:, t - 1], moments.when[t : t + 1]
        denoise = partial(_denoise, model, memory, last, when)
        start = {"frames": frames[:, n * per : (n + 1) * per], "body": body[:, n : n + 1]}
        found = sample(denoise, start, levels)
        patches[:, t] = found["frames"].clamp(-1, 1)
        state[:, t] = model.body.decode(found["body"][:, 0], state[:, t - 1])
        moments = replace(moments, frames=patches, state=state, levels=told)
        if t + 1 < times:
            pairs = zip(memory, read(model, moments.part(t, t + 1))[0], strict=True)
            memory = [(_latest(k, ks, kept), _latest(v, vs, kept)) for (k, v), (ks, vs) in pairs]
    return moments


def corrupt_history(model: WorldModel, moments: RolloutHistory, draw: NoiseSample) -> RolloutHistory:
    """The same history with the errors of a long rollout: each clip's frames off by one smooth error, or faded.

    ``draw.eps`` (B, C, 3 * (1 + `COARSE`^2)): per camera and channel one value for all pixels, then a coarse grid's,
    which is interpolated. ``draw.levels`` (B, 2): the error's standard deviation in model units, and the weight of the
    next clip's frames that are mixed in. Clips with either above 0 get the noise level of imagined frames.
    """
    sizes, shares = draw.levels[:, :1], draw.levels[:, 1:, None, None]
    values = (draw.eps * sizes[..., None]).unflatten(2, (3, -1))
    size, grid = model.frames.size, values[..., 1:].flatten(0, 1).unflatten(2, (COARSE, COARSE))
    smooth = interpolate(grid, size=(size, size), mode="bicubic", align_corners=False)
    error = smooth.unflatten(0, values.shape[:2]) + values[..., :1, None]
    patches = model.frames.patches(error.permute(0, 1, 3, 4, 2)[:, None])
    told = torch.where((draw.levels > 0).any(1, keepdim=True), SELF_NOISE_LEVEL, moments.levels)
    faded = torch.lerp(moments.frames, moments.frames.roll(1, 0), shares)
    return replace(moments, frames=(faded + patches[:, None]).clamp(-1, 1), levels=told)


def _denoise(
    model: WorldModel, memory: KVCache, last: Tensor, when: Tensor, values: dict[str, Tensor], level: Tensor
) -> dict[str, Tensor]:
    """One step's clean values at one noise level, for a sampler."""
    return denoise_next(model, memory, NoisyNext(values["frames"], values["body"], last, when, level.view(1, 1)))


def _latest(values: Tensor, fresh: Tensor, kept: int) -> Tensor:
    """The cache with the new step appended, (B, heads, M, d), cut to the window."""
    return torch.cat([values, fresh], dim=2)[:, :, -kept:]


def _told(moments: RolloutHistory, draw: NoiseSample) -> Tensor:
    """Noise levels of the history: the sampled ones for recorded steps; imagined ones keep theirs."""
    return torch.where(moments.levels > 0, moments.levels, draw.levels)


def _doubted(moments: RolloutHistory, draw: NoiseSample) -> Tensor:
    """Recorded history at its sampled noise; imagined steps stay as they are."""
    noisy = mix(moments.frames, draw.eps.unflatten(1, moments.frames.shape[1:3]), draw.levels[..., None, None])
    return torch.where((moments.levels > 0)[..., None, None], moments.frames, noisy)
