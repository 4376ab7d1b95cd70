"""How streaming is learned: every next moment of a clip at once, after real moments and after the model's own."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from worldmodel.backbone import Memory
from worldmodel.flow import NoiseDraw, mix, sample
from worldmodel.model import WorldModel
from worldmodel.model.moments import Moments, Sought, foresee, look_back, per_moment, read
from worldmodel.objectives.config import ObjectiveConfig
from worldmodel.objectives.losses import absolute_loss, flow_loss
from worldmodel.schema import STATE, Clip
from worldmodel.tokens.noise_law import SELF_NOISE_LEVEL

OWN = "own."
"""Before "frames" and "body": noise from which the model imagines the moments that then take real ones' places."""

DRIFT, COARSE = "drift", 4
"""What is wrong with frames looked back on: errors of all pixels alike, at a grid's COARSE^2 points, fading."""


def stream_loss(
    model: WorldModel, clip: Clip, noise: dict[str, NoiseDraw], objective: ObjectiveConfig
) -> dict[str, Tensor]:
    """Losses ``frames`` and ``body`` of a clip's last W moments, each after those before it, and their sum.

    ``clip.future`` are the T >= W moments after the first, one control step apart, ``clip.more_future[STATE]`` their
    states; W is the model's window. The T - W first ones only lead there. ``noise`` holds draws for ``frames`` and
    ``body`` (a level per moment) and for ``observed``, the moments looked back on, which the model is told. With draws
    for ``own.frames`` and ``own.body`` the last moments looked back on, as many as these have, are the model's own,
    imagined without gradient over the levels that come with these draws; with draws for ``drift`` real ones are off as
    `stray` says. The truth stays the truth.

    Where ``objective.plain`` is above 0, ``plain`` is the mean absolute error of the frames found (model units). With
    the squared one alone plain surfaces come out mottled, by two or three grey levels, and patches leave seams. With
    ``objective.carried`` so is ``carried``, of the warped frames alone: what is painted over teaches its warp nothing.
    """
    if model.body is None:
        raise ValueError("mode stream needs a model built with a window")
    moments, frames, state = lay_out(model, clip)
    if DRIFT in noise:
        moments = stray(model, moments, noise[DRIFT])
    if OWN + "body" in noise:
        own = noise[OWN + "frames"]
        moments = rehearse(model, moments, own.eps, noise[OWN + "body"].eps, own.levels[0])
    window, times = noise["frames"].levels.shape[1], len(moments.when)
    moments, frames, state = _part(moments, times - window, times), frames[:, -window:], state[:, -window:]
    there = clip.future_valid[:, -window:]
    seen = replace(moments, frames=_doubted(moments, noise["observed"]), levels=_told(moments, noise["observed"]))
    noisy, truth = {}, {"body": model.body.encode(state, moments.state), "frames": frames.flatten(1, 2)}
    for name, clean in truth.items():
        noisy[name] = mix(clean, noise[name].eps, noise[name].noise())
    found = foresee_each(model, seen, moments.frames, noisy, noise["frames"].levels)
    valid = {"body": there, "frames": there.repeat_interleave(model.frames.per_time, 1)}
    losses = {
        name: flow_loss(found[name], clean, noise[name].noise(), valid[name], getattr(model, name).floor)
        for name, clean in truth.items()
    }
    if objective.plain:
        losses["plain"] = absolute_loss(found["frames"], truth["frames"], valid["frames"])
    if objective.carried:
        losses["carried"] = absolute_loss(found["carried"], truth["frames"], valid["frames"])
    return {"loss": sum((getattr(objective, n) * v for n, v in losses.items()), torch.zeros(()).to(state)), **losses}


def foresee_each(
    model: WorldModel, seen: Moments, last: Tensor, noisy: dict[str, Tensor], levels: Tensor
) -> dict[str, Tensor]:
    """The clean ``body`` (B, T, S), ``frames`` and ``carried`` (B, T * M, P) after each of T moments, nothing cached.

    ``last`` (B, T, M, P): what frames are painted over. ``noisy``: as the answer, at ``levels`` (B, T). Whatever is
    known of later moments, none of it is read.
    """
    batch, times = levels.shape
    memory, there = look_back(model, read(model, seen), times)
    when = (seen.when + 1 / model.config.rate).repeat(batch)
    frames, body = noisy["frames"].unflatten(1, (times, -1)).flatten(0, 1), noisy["body"].flatten(0, 1)[:, None]
    sought = Sought(frames, body, last.flatten(0, 1), when, levels.reshape(-1, 1))
    found = foresee(model, memory, sought, there.repeat(batch, 1))
    whole = {name: found[name].reshape(noisy["frames"].shape) for name in ("frames", "carried")}
    return {"body": found["body"].reshape(batch, times, -1), **whole}


def lay_out(model: WorldModel, clip: Clip) -> tuple[Moments, Tensor, Tensor]:
    """A clip's moments but the last, all of them real; and patches (B, T, M, P) and states of those after each."""
    pixels = torch.cat([model.frames.seen(clip)[:, None], model.frames.later(clip)], dim=1)
    times = pixels.shape[1] - 1
    patches = model.frames.patches(pixels).unflatten(1, (times + 1, -1))
    state = torch.cat([clip.state[:, None], clip.more_future[STATE]], dim=1)
    when = torch.arange(times, device=state.device) / model.config.rate
    levels = torch.zeros(len(state), times, device=state.device)
    return Moments(patches[:, :-1], state[:, :-1], clip.executed[:, :times], when, levels), patches[:, 1:], state[:, 1:]


@torch.no_grad()
def rehearse(model: WorldModel, moments: Moments, frames: Tensor, body: Tensor, levels: Tensor) -> Moments:
    """The same moments, the last of them imagined one after another from the noise ``frames`` and ``body``, (B, R, .).

    Each follows the ``window`` moments before it, imagined ones included, and the actions that were carried out. R < T.
    ``levels``: those that a sampler passes, 1 to 0, (steps + 1,); what a stream of so many steps would leave as noise
    is then there to be seen, and to be removed.
    """
    assert model.body is not None
    own, times = body.shape[1], len(moments.when)
    per, first, window = model.frames.per_time, times - own, model.config.window
    kept = window * per_moment(model)
    patches, state, told = moments.frames.clone(), moments.state.clone(), moments.levels.clone()
    told[:, first:] = SELF_NOISE_LEVEL
    memory = read(model, _part(moments, max(0, first - window), first))
    for n, t in enumerate(range(first, times)):
        last, when = patches[:, t - 1], moments.when[t : t + 1]
        denoise = partial(_denoise, model, memory, last, when)
        start = {"frames": frames[:, n * per : (n + 1) * per], "body": body[:, n : n + 1]}
        found = sample(denoise, start, levels)
        patches[:, t] = found["frames"].clamp(-1, 1)
        state[:, t] = model.body.decode(found["body"][:, 0], state[:, t - 1])
        moments = replace(moments, frames=patches, state=state, levels=told)
        if t + 1 < times:
            pairs = zip(memory, read(model, _part(moments, t, t + 1)), strict=True)
            memory = [(_latest(k, ks, kept), _latest(v, vs, kept)) for (k, v), (ks, vs) in pairs]
    return moments


def stray(model: WorldModel, moments: Moments, draw: NoiseDraw) -> Moments:
    """The same moments, the frames of each clip all off by one smooth error, or faded, as those of a long dream are.

    ``draw.eps`` (B, C, 3 * (1 + `COARSE`^2)): per camera and channel one value for all pixels, then those of a coarse
    grid between whose points the error runs smoothly. ``draw.levels`` (B, 2): their standard deviation in model units,
    and the share in which the frames are those of the next clip in the batch: what moves is faint then, and stands
    elsewhere too. A clip with either above 0 is told to be the model's own.
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
    model: WorldModel, memory: Memory, last: Tensor, when: Tensor, values: dict[str, Tensor], level: Tensor
) -> dict[str, Tensor]:
    """What a moment at one noise level turns out to be, for a sampler."""
    return foresee(model, memory, Sought(values["frames"], values["body"], last, when, level.view(1, 1)))


def _latest(values: Tensor, fresh: Tensor, kept: int) -> Tensor:
    """What is remembered and what comes to it, (B, heads, M, d), as far as the window goes back."""
    return torch.cat([values, fresh], dim=2)[:, :, -kept:]


def _part(moments: Moments, first: int, end: int) -> Moments:
    each = (moments.frames, moments.state, moments.actions)
    frames, state, actions = (value[:, first:end] for value in each)
    return Moments(frames, state, actions, moments.when[first:end], moments.levels[:, first:end])


def _told(moments: Moments, draw: NoiseDraw) -> Tensor:
    """Levels of the moments looked back on: as drawn for real ones; the model's own keep theirs."""
    return torch.where(moments.levels > 0, moments.levels, draw.levels)


def _doubted(moments: Moments, draw: NoiseDraw) -> Tensor:
    """The real moments' patches at the noise drawn for them; the model's own have errors enough."""
    noisy = mix(moments.frames, draw.eps.unflatten(1, moments.frames.shape[1:3]), draw.levels[..., None, None])
    return torch.where((moments.levels > 0)[..., None, None], moments.frames, noisy)
