"""``imagine mode=stream``: dreams begun at recorded moments, led by recorded actions, measured against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from rich.progress import track

from worldmodel.data.clips import Clips
from worldmodel.imagine.collapse import kept, shows_can, vitals, within
from worldmodel.imagine.simulated import simulate
from worldmodel.model import WorldModel
from worldmodel.model.stream import Stream
from worldmodel.report.stats import decibels
from worldmodel.schema import ACTION, EXECUTED, image_key

if TYPE_CHECKING:
    from worldmodel.imagine.verb import ImagineConfig

BATCH, READ = 16, 500
"""Dreams in one forward pass; recorded frames read at once."""


@dataclass(frozen=True)
class Course:
    """Where B dreams are led: steps of the store whose actions they are given, and at which a real frame follows.

    Recorded actions are walked to the episode's end, then backwards and forwards again; what is imagined can be
    compared with what was recorded only on the first way to the end.
    """

    begins: Int[np.ndarray, " B"]
    steps: Int[np.ndarray, "B T"]
    recorded: Bool[np.ndarray, "B T"]


@dataclass(frozen=True)
class Dreams:
    """What B dreams of T steps were like. errors: of imagined frames and of the first again, summed over dreams.

    frames: those of the first few dreams, which are shown. With a simulator beside them, ``truth`` are its frames of
    these, and ``really`` whether the can was in view there.
    """

    errors: Float[np.ndarray, "2 T"]
    count: Int[np.ndarray, " T"]
    vitals: Float[np.ndarray, "B T C 3"]
    can: Bool[np.ndarray, "B T"]
    frames: UInt8[np.ndarray, "S T C H W 3"]
    truth: UInt8[np.ndarray, "S T C H W 3"] | None = None
    really: Bool[np.ndarray, "B T"] | None = None


def choose(clips: Clips, config: ImagineConfig) -> np.ndarray:
    """Random windows to dream from, each with something recorded after it. ValueError where there is none."""
    able = np.flatnonzero(clips.time + 1 < clips.end)
    if not len(able):
        raise ValueError(f"{config.data}: no episode has two steps, so there is nothing to compare a dream with")
    return np.random.default_rng(config.seed).permutation(able)[: config.windows]


def plan(clips: Clips, windows: np.ndarray, frames: int) -> Course:
    """The course from each of these windows on, ``frames`` steps long."""
    time, begin, end = (values[windows][:, None] for values in (clips.time, clips.begin, clips.end))
    ahead, last = np.arange(frames)[None], end - begin - 1
    wave = (time - begin + ahead) % (2 * last)
    return Course(time[:, 0], begin + np.minimum(wave, 2 * last - wave), time + ahead + 1 < end)


def real_frames(clips: Clips, steps: np.ndarray) -> np.ndarray:
    """Recorded frames of all cameras, uint8 (N, C, H, W, 3)."""
    store = clips.stores[0]
    each = [np.asarray(store.array(image_key(camera)).take(steps)) for camera in clips.spec.cameras]
    return np.stack(each, axis=1)


@torch.no_grad()
def dream(model: WorldModel, clips: Clips, windows: np.ndarray, config: ImagineConfig, show: int) -> Dreams:
    """Dream from each of these windows, all at once; keep the frames of the first ``show``.

    The truth is what was recorded, as far as that goes; with ``config.simulate`` what the simulator does, to the end.
    """
    store, course = clips.stores[0], plan(clips, windows, config.frames)
    key = EXECUTED if EXECUTED in store.keys else ACTION
    actions = torch.as_tensor(np.asarray(store.array(key).take(course.steps), np.float32))
    first, seen = clips.gather(windows).map(torch.as_tensor), real_frames(clips, course.begins)
    stream = Stream(model, len(windows), config.steps)
    stream.begin(first.images, first.state, seeds=[config.seed + int(window) for window in windows])
    truth = simulate(clips, course.begins, actions.numpy()) if config.simulate else None
    known = course.recorded if truth is None else np.ones_like(course.recorded)
    errors, lives, can, shown, real = np.zeros((2, config.frames)), [], [], [], []
    for t in track(range(config.frames), f"{len(windows)} dreams", transient=True):
        frames, there = stream.step(actions[:, t])[0].numpy(), known[:, t]
        if there.any():
            after = next(truth) if truth else real_frames(clips, course.begins[there] + t + 1)
            off = (guess[there] - after.astype(np.float32) for guess in (frames, seen))
            errors[:, t] = [(error**2).mean((1, 2, 3, 4)).sum() for error in off]
            if truth:
                real.append((shows_can(after), after[:show].copy()))
        lives.append(vitals(frames))
        can.append(shows_can(frames))
        shown.append(frames[:show])
    found = Dreams(errors, known.sum(0), *(np.stack(each, axis=1) for each in (lives, can, shown)))
    if truth is None:
        return found
    truth.close()
    really, above = (np.stack(each, axis=1) for each in zip(*real, strict=True))
    return replace(found, really=really, truth=above)


def measure(yards: Sequence[Clips], parts: list[Dreams], config: ImagineConfig) -> dict[str, Any]:
    """PSNR by steps ahead beside the first frame again, and the vitals of frames beside those of ``yards``' real ones.

    Under actions that are walked backwards the hand soon holds nothing, which demonstrations never show: what else can
    be seen in the same place, recordings of other behaviour have. All of their frames have a say: the range of some
    hangs on whether the odd one is among them.
    """
    errors, count = sum(part.errors for part in parts), sum(part.count for part in parts)
    imagined, copied = decibels(errors / np.maximum(count, 1)).round(2).tolist()
    rows = [
        {"steps_ahead": t + 1, "imagined": imagined[t], "copied": copied[t], "dreams": int(n)}
        for t, n in enumerate(np.asarray(count))
        if n
    ]
    some = [(yard, yard.time[n : n + READ]) for yard in yards for n in range(0, len(yard.time), READ)]
    recorded = (real_frames(*each) for each in track(some, "real frames", transient=True))
    real, there = map(np.concatenate, zip(*((vitals(frames), shows_can(frames)) for frames in recorded), strict=True))
    lives, can = np.concatenate([part.vitals for part in parts]), np.concatenate([part.can for part in parts])
    about = {"dreams": len(lives), "length": config.frames, "real_frames": len(real)}
    really = [part.really for part in parts if part.really is not None]
    besides = np.concatenate(really) if really else None
    object_kept = kept(can, there, besides) if there.mean() > 0.5 else None  # other people's scenes have no can
    return about | {"can": object_kept, "frames": rows, "vitals": within(lives, real, yards[0].spec.cameras)}


def stream(
    model: WorldModel, clips: Clips, config: ImagineConfig, yards: Sequence[Clips]
) -> tuple[dict[str, Any], np.ndarray, np.ndarray, np.ndarray | None]:
    """What ``config.windows`` dreams were like, and of the first few: windows, frames (S, T, ...), simulated ones.

    ``yards``: recordings whose frames' range is the yardstick of long dreams.
    """
    chosen = choose(clips, config)
    parts = [
        dream(model, clips, chosen[first : first + BATCH], config, max(0, config.show - first))
        for first in range(0, len(chosen), BATCH)
    ]
    frames = np.concatenate([part.frames for part in parts])[: config.show]
    truth = [part.truth for part in parts if part.truth is not None]
    return measure(yards, parts, config), chosen[: len(frames)], frames, np.concatenate(truth) if truth else None
