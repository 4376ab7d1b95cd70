"""Rollouts under recorded actions, begun at recorded windows, measured against the truth."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from rich.progress import track

from worldmodel import envs
from worldmodel.config import UserError
from worldmodel.data.clips import Clips
from worldmodel.imagine.config import ImagineConfig
from worldmodel.imagine.fidelity import HORIZONS, Compared, Truth, compare, summary
from worldmodel.imagine.image_metrics import CAP, psnr, squared
from worldmodel.imagine.pose import load_pose_reader, reads
from worldmodel.imagine.rollout_quality import image_stats, object_persistence, within_range
from worldmodel.model import WorldModel
from worldmodel.model.rollout import ImaginedRollout
from worldmodel.schema import ACTION, EXECUTED, SIMULATOR_STATE, image_key

BATCH, READ = 16, 500
"""Rollouts in one forward pass; recorded frames read at once."""

type ShowsObject = Callable[[np.ndarray], np.ndarray]
"""Whether frames uint8 (*b, C, H, W, 3) show the task's object, bool (*b)."""


@dataclass(frozen=True)
class RecordedActions:
    """Actions of B rollouts: steps of the store, and whether a real frame follows each.

    Recorded actions are played to the episode's end, then backwards and forwards; recorded frames exist only for the
    first pass.
    """

    begins: Int[np.ndarray, " B"]
    steps: Int[np.ndarray, "B T"]
    recorded: Bool[np.ndarray, "B T"]


@dataclass(frozen=True)
class Rollouts:
    """B rollouts of T steps. errors: squared, of imagined frames and of the copied first frame, summed over rollouts.

    shows: the object is in view. frames: of the first S. With a simulator, simulated: its frames; really: the object
    is in view there; compared: what is where, beside the imagined, after some steps.
    """

    errors: Float[np.ndarray, "2 T"]
    count: Int[np.ndarray, " T"]
    stats: Float[np.ndarray, "B T C 3"]
    shows: Bool[np.ndarray, "B T"]
    frames: UInt8[np.ndarray, "S T C H W 3"]
    simulated: UInt8[np.ndarray, "S T C H W 3"] | None = None
    really: Bool[np.ndarray, "B T"] | None = None
    compared: Mapping[int, Compared] = field(default_factory=dict)


def choose(clips: Clips, config: ImagineConfig) -> Int[np.ndarray, " W"]:
    """Random windows to begin at, each with something recorded after it. ValueError where there is none."""
    able = np.flatnonzero(clips.time + 1 < clips.end)
    if not len(able):
        raise ValueError(f"{config.data}: no episode has two steps, so there is nothing to compare a rollout with")
    return np.random.default_rng(config.seed).permutation(able)[: config.windows]


def recorded_actions(clips: Clips, windows: Int[np.ndarray, " B"], frames: int) -> RecordedActions:
    """The steps to take from each of these windows on, ``frames`` of them."""
    time, begin, end = (values[windows][:, None] for values in (clips.time, clips.begin, clips.end))
    ahead, last = np.arange(frames)[None], end - begin - 1
    wave = (time - begin + ahead) % (2 * last)
    return RecordedActions(time[:, 0], begin + np.minimum(wave, 2 * last - wave), time + ahead + 1 < end)


def real_frames(clips: Clips, steps: Int[np.ndarray, " N"]) -> UInt8[np.ndarray, "N C H W 3"]:
    """Recorded frames of all cameras."""
    store = clips.stores[0]
    each = [np.asarray(store.array(image_key(camera)).take(steps)) for camera in clips.spec.cameras]
    return np.stack(each, axis=1)


@torch.no_grad()
def roll_out(
    model: WorldModel, clips: Clips, windows: Int[np.ndarray, " B"], config: ImagineConfig, show: int, has: ShowsObject
) -> Rollouts:
    """Imagine from each of these windows on, all at once; keep the frames of the first ``show``.

    The truth is what was recorded, as far as that goes; with ``config.simulate`` what the simulator does, to the end.
    """
    store, led = clips.stores[0], recorded_actions(clips, windows, config.length)
    key = EXECUTED if EXECUTED in store.keys else ACTION
    actions = torch.as_tensor(np.asarray(store.array(key).take(led.steps), np.float32))
    first, seen = clips.gather(windows).map(torch.as_tensor), torch.as_tensor(real_frames(clips, led.begins))
    stream = ImaginedRollout(model, len(windows), config.steps)
    stream.begin(first.images, first.state, seeds=[config.seed + int(window) for window in windows])
    truth = simulate(clips, led.begins, actions.numpy()) if config.simulate else None
    known = led.recorded if truth is None else np.ones_like(led.recorded)
    errors, stats, shows, shown = np.zeros((2, config.length)), [], [], []
    really, simulated, compared = [], [], dict[int, Compared]()
    reader = load_pose_reader() if truth and reads(seen.shape) else None
    for t in track(range(config.length), f"{len(windows)} rollouts", transient=True):
        frames, there = stream.step(actions[:, t])[0], known[:, t]
        if there.any():
            state = next(truth) if truth else None
            after = state.frames if state else real_frames(clips, led.begins[there] + t + 1)
            real = torch.as_tensor(after)
            errors[:, t] = [squared(guess[there], real).mean(-1).sum() for guess in (frames, seen)]
            if state:
                if reader and t + 1 in HORIZONS:
                    compared[t + 1] = compare(seen.numpy(), frames.numpy(), state, reader)
                really.append(has(after))
                simulated.append(after[:show].copy())
        stats.append(image_stats(frames.numpy()))
        shows.append(has(frames.numpy()))
        shown.append(frames[:show].numpy())
    if truth:
        truth.close()
    kept = [np.stack(values, axis=1) for values in (stats, shows, shown, *((simulated, really) if truth else ()))]
    rollouts = Rollouts(errors, known.sum(0), kept[0], kept[1], kept[2])
    return replace(rollouts, simulated=kept[3], really=kept[4], compared=compared) if truth else rollouts


def measure(parts: Sequence[Rollouts], references: Sequence[Clips], length: int, has: ShowsObject) -> dict[str, Any]:
    """PSNR by steps ahead, with the copied first frame as baseline; image statistics beside those of ``references``.

    Actions played backwards leave the gripper empty, which demonstrations never show: give recordings of other
    behaviour as references too. All their frames count, because the range depends on rare ones.
    """
    errors, count = sum(part.errors for part in parts), np.asarray(sum(part.count for part in parts))
    imagined, copied = psnr(errors / np.maximum(count, 1), CAP).round(2).tolist()
    rows = [
        {"steps_ahead": t + 1, "imagined": imagined[t], "copy_last_frame": copied[t], "rollouts": int(n)}
        for t, n in enumerate(count)
        if n
    ]
    some = [(clips, clips.time[n : n + READ]) for clips in references for n in range(0, len(clips.time), READ)]
    recorded = (real_frames(*each) for each in track(some, "real frames", transient=True))
    real, there = map(np.concatenate, zip(*((image_stats(f), has(f)) for f in recorded), strict=True))
    stats, shows = np.concatenate([part.stats for part in parts]), np.concatenate([part.shows for part in parts])
    really = [part.really for part in parts if part.really is not None]
    persistence = None  # where most real frames do not show the object, as in other people's scenes, there is none
    if there.mean() > 0.5:
        persistence = object_persistence(shows, there, np.concatenate(really) if really else None)
    about = {
        "rollouts": len(stats),
        "length": length,
        "real_frames": len(real),
        "object_persistence": persistence,
        "frames": rows,
    }
    beside = {steps: [part.compared[steps] for part in parts] for steps in parts[0].compared}
    if beside:
        about["beside_simulator"] = summary(beside)
    return about | {"image_stats": within_range(stats, real, references[0].spec.cameras)}


def simulate(clips: Clips, begins: Int[np.ndarray, " B"], actions: Float[np.ndarray, "B T A"]) -> Generator[Truth]:
    """Frames of all cameras, as large as the store's, and what is where, after each action from these steps on.

    It continues after success and past the time limit. Raises UserError where the states do
    not fit the simulator; see `check_restorable` for what can be known before.
    """
    store, cameras = clips.stores[0], clips.spec.cameras
    size, worlds = store.row(image_key(cameras[0]))[0], []
    try:
        for begin, episode in zip(begins, np.searchsorted(store.ends, begins, side="right"), strict=True):
            task = store.tasks[store.task_index[episode]]
            worlds.append(envs.make(task, cameras=cameras, size=size))
            state = np.asarray(store.array(SIMULATOR_STATE)[int(begin)], np.float64)
            try:
                worlds[-1].reset(seed=0, options={"state": state})
            except ValueError as error:
                raise UserError(f"{store.path}: {' '.join(str(error).split())}") from error
        for t in range(actions.shape[1]):
            seen = [world.step(actions[b, t])[0] for b, world in enumerate(worlds)]
            scenes = [world.scene for world in worlds]
            yield Truth(
                np.stack([[one[image_key(camera)] for camera in cameras] for one in seen]),
                np.stack([scene.can_position for scene in scenes]),
                np.stack([scene.eef for scene in scenes]),
                np.array([scene.touching == 2 for scene in scenes]),
            )
    finally:
        for world in worlds:
            world.close()
