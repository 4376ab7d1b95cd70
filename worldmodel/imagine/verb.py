"""The verb ``imagine``: a checkpoint in one of its modes, asked about recorded moments, whose true answer is known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldmodel import checkpoint
from worldmodel.backbone import fast_dtype
from worldmodel.collect.restore import check_restorable
from worldmodel.config import UserError, closest, option
from worldmodel.data.clips import Clips
from worldmodel.devices import use_threads
from worldmodel.flow import MODES, STREAM
from worldmodel.imagine.collapse import USUAL
from worldmodel.imagine.film import AHEAD, show
from worldmodel.imagine.picture import draw
from worldmodel.imagine.score import ScoreConfig, open_clips
from worldmodel.imagine.score.acting import READING, position_error
from worldmodel.imagine.streaming import stream
from worldmodel.model import Given, Want, WorldModel
from worldmodel.report.stats import decibels
from worldmodel.schema import Clip

WITHIN = (
    ("within", "imagined frames within the range of real ones"),
    ("mean_within", "means over all dreams within it"),
    ("usual_within", f"imagined frames within the middle {USUAL:.0%} of real ones"),
)
"""What is said of the share that lies within, by its name in the record."""


@dataclass(frozen=True)
class ImagineConfig:
    """What to imagine, from which recorded moments, and where the picture goes."""

    mode: str = option("policy, joint, forward, inverse or video: what is given and wanted; stream: frame after frame")
    data: str = option("folder of an EpisodeStore, or lerobot:FOLDER_OR_REPO_ID")
    checkpoint: str = option("shipped, or the folder of a training run or model", "shipped")
    out: str = option("folder for picture and numbers", "outputs/imagine")
    windows: int = option("moments to measure, at random; all where there are fewer", 64)
    show: int = option("how many of them to draw", 4)
    frames: int = option("with mode=stream: frames to imagine from each moment; a film goes with them", 40)
    real: str | None = option(
        "mode=stream: recordings, by commas, whose frames' range dreams should keep to; else data", None
    )
    simulate: bool = option(
        "mode=stream: carry the same actions out in MuJoCo too: the truth to the dream's end", False
    )
    holdout: float = option("use the last episodes only: the share that training kept out; 0 for all", 0.0)
    steps: int = option("sampling steps; dreams (mode=stream) look sharper in 4, 2 are faster", 2)
    seed: int = option("of the moments and of the sampling noise", 0)
    threads: int = option("CPU threads; 0 for half of the cores", 0)

    def __post_init__(self) -> None:
        for name in ("windows", "show", "steps", "frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected at least 1")
        known = (*MODES, STREAM)
        if self.mode != "???" and self.mode not in known:
            raise ValueError(f"mode={self.mode}: no such mode; {closest(self.mode, known)}")
        if not 0 <= self.holdout < 1:
            raise ValueError(f"holdout={self.holdout}: expected a share in [0, 1)")
        if self.simulate and self.mode not in ("???", STREAM):
            raise ValueError(f"simulate=true with mode={self.mode}: expected mode={STREAM}; others compare recordings")


@dataclass(frozen=True)
class Answer:
    """What a model said of B moments: ``actions`` float32 (B, H, A), ``frames`` uint8 (B, F, C, H, W, 3), or None."""

    actions: Tensor | None
    frames: Tensor | None


def imagine(config: ImagineConfig) -> int:
    """Ask, measure, draw. Raises UserError for a mode that the checkpoint was not trained for, or data that misfit."""
    use_threads(config.threads)
    trained(config.checkpoint, config.mode)
    model = checkpoint.load(config.checkpoint)
    model.compute_in(fast_dtype("cpu"))
    clips = open_clips(model.config, ScoreConfig(data=config.data, holdout=config.holdout))
    if config.mode == STREAM:
        return _stream(model, clips, config)
    chosen = np.sort(np.random.default_rng(config.seed).permutation(len(clips))[: config.windows])
    at = moments(config.mode, model.config.horizon)
    clip = clips.gather(chosen, np.tile(at, (len(chosen), 1)), done=config.mode == "inverse").map(torch.as_tensor)
    noise = torch.Generator().manual_seed(config.seed)
    if config.mode == "inverse":
        answer = read_along(model, clips, chosen, noise)
    else:
        answer = ask(model, clip, config.mode, config.steps, noise)
    found = _head(config) | compare(clip, answer, model.config.relative)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{config.mode}.json").write_text(json.dumps(found, indent=1) + "\n")
    rng = np.random.default_rng(config.seed)
    shown = np.sort(rng.permutation(len(chosen))[: config.show])
    draw(clip, answer, shown, out / f"{config.mode}.png", model.config, config.mode)
    print("\n".join([*tell(found), f"{out / f'{config.mode}.png'} shows {len(shown)} of {len(chosen)} moments"]))
    return 0


def _stream(model: WorldModel, clips: Clips, config: ImagineConfig) -> int:
    """Dream frame by frame from recorded moments, under recorded actions; measure and film it."""
    names = config.real.strip("[]").split(",") if config.real else []
    yards = [open_clips(model.config, ScoreConfig(data=name.strip())) for name in names] or [clips]
    if config.simulate:
        check_restorable(clips.stores[0], f"simulate=true, data={config.data}")
    found, windows, frames, truth = stream(model, clips, config, yards)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    head = _head(config) | {"real": config.real or config.data}
    (out / f"{STREAM}.json").write_text(json.dumps(head | found, indent=1) + "\n")
    told = [row for row in found["frames"] if row["steps_ahead"] in AHEAD]
    lines = [*tell({"frames": told})]
    for camera, numbers in found["vitals"].items():
        for key, what in WITHIN:
            each = [_share(number, name, key) for name, number in numbers.items()]
            lines.append(f"{camera}: {what}: {', '.join(each)}")
    if found["can"] is not None:
        lines.append(_share(found["can"], "the can is in view, in either camera: imagined moments", "imagined"))
        if "simulated" in found["can"]:
            lines.append(_share(found["can"], "under the same actions in the simulator", "simulated"))
            lines.append(_share(found["can"], "dream and simulator agree on that", "agree"))
    written = show(clips, windows, frames, out, truth)
    print("\n".join([*lines, f"{written[-1]} and films beside it show {len(frames)} of {found['dreams']} dreams"]))
    return 0


def _share(number: dict[str, Any], name: str, key: str) -> str:
    """``contrast 99.4 % (98.7 to 99.9)``: in brackets the interval over dreams of a share of frames."""
    pair = number.get(f"{key}_interval")
    span = f" ({' to '.join(f'{100 * end:.1f}' for end in pair)})" if pair else ""
    return f"{name} {100 * number[key]:.1f} %{span}"


def _head(config: ImagineConfig) -> dict[str, Any]:
    """Who was asked, how, and about what."""
    weights = str(checkpoint.card(config.checkpoint)["sha256"])
    who = {"checkpoint": config.checkpoint, "weights": weights, "data": config.data}
    return who | {"mode": config.mode, "steps": config.steps, "seed": config.seed}


def trained(name: str, mode: str) -> None:
    """Raises UserError where a checkpoint's card says that it never trained a mode."""
    taught = checkpoint.taught(name)
    if taught is not None and mode not in taught:
        raise UserError(f"mode={mode}: {name} was not trained for it (modes.{mode}=0); it was for: {', '.join(taught)}")


def moments(mode: str, horizon: int) -> list[int]:
    """Control steps after the observation whose frames take part: two where they share a sequence with wanted actions.

    In the other modes frames are asked for in pairs, each pair on its own, so there may be more. What was done is read
    out of a frame after every step.
    """
    if mode == "inverse":
        return list(range(1, horizon + 1))
    if MODES[mode].actions == "wanted":
        return [max(1, horizon // 2), horizon]
    return [max(1, round(horizon * part / 4)) for part in (1, 2, 3, 4)]


@torch.no_grad()
def ask(model: WorldModel, clip: Clip, mode: str, steps: int, generator: torch.Generator | None = None) -> Answer:
    """A model's answer in one mode about a clip's moments; frames ``clip.at``, actions as they were executed."""
    roles = MODES[mode]
    actions = clip.executed if roles.actions == "given" else None
    if roles.frames == "given":
        given = Given(clip.images, clip.state, clip.task, actions, clip.future, clip.at, clip.more)
        return Answer(model.predict(given, Want(actions=True), READING, generator=generator).actions, None)
    given = Given(clip.images, clip.state, clip.task, actions, more=clip.more)
    if roles.actions == "wanted":
        at = clip.at if roles.frames == "wanted" else None
        found = model.predict(given, Want(actions=True, at=at), steps, generator=generator)
        return Answer(found.actions, found.frames)
    batch, count = clip.at.shape
    pairs = clip.at.reshape(batch * count // 2, 2)  # two moments at a time, as in training
    frames = model.imagine(given, pairs, steps, generator=generator)
    return Answer(None, frames.reshape(batch, count, *frames.shape[2:]))


@torch.no_grad()
def read_along(model: WorldModel, clips: Clips, windows: np.ndarray, generator: torch.Generator) -> Answer:
    """What was done in each control step of these windows' chunks, read out of the frames just before and after it.

    So a recording of frames and states without actions is labelled: step by step, each from its own moment on.
    """
    horizon, left = model.config.horizon, clips.end[windows] - 1 - clips.time[windows]
    guess = torch.zeros(len(windows), horizon, model.config.action_dim)
    for step in range(horizon):
        clip = clips.gather(windows + np.minimum(step, left), np.tile([1, 2], (len(windows), 1)), done=True)
        found = ask(model, clip.map(torch.as_tensor), "inverse", READING, generator).actions
        assert found is not None
        guess[:, step] = found[:, 0].float()
    return Answer(guess, None)


def compare(clip: Clip, answer: Answer, relative: int = 0) -> dict[str, Any]:
    """Errors as a JSON record: PSNR by steps ahead beside the last frame again, actions by dimension, own units.

    "actions": median absolute error over moments and valid steps of their chunks, those alone that a given frame
    follows; with the first ``relative`` dimensions targets of a position, also the median distance from it, of the
    first step and of all. What no episode here reaches is left out.
    """
    found: dict[str, Any] = {"windows": len(clip.state)}
    if answer.frames is not None:
        there, real = clip.future_valid.numpy(), clip.future.numpy().astype(np.float32)
        rows = []
        for n in np.flatnonzero(there.any(0)):
            guesses = (answer.frames[:, n].numpy(), clip.images.numpy())
            errors = [((guess - real[:, n]) ** 2)[there[:, n]].mean() for guess in guesses]
            imagined, copied = np.round(decibels(np.array(errors)), 2).tolist()
            rows.append({"steps_ahead": int(clip.at[0, n]), "imagined": imagined, "copied": copied})
        found["frames"] = rows
    read = answer.actions is not None and clip.at.shape[1] == clip.valid.shape[1]
    valid = clip.valid & clip.future_valid if read else clip.valid
    if answer.actions is not None and valid.any():
        guess = answer.actions.float()
        wrong = (guess - clip.action).abs()[valid]
        found["actions"] = {"median_error": wrong.median(0).values.tolist(), "steps": int(valid.sum())}
        if relative:
            away = torch.as_tensor(position_error(guess.numpy(), clip.action.numpy(), relative))
            first = away[:, 0][valid[:, 0]]
            parts = {"first_step": first, "all": away[valid]}
            found["actions"]["position"] = {
                name: float(values.median()) for name, values in parts.items() if len(values)
            }
    return found


def tell(found: dict[str, Any]) -> Sequence[str]:
    """The record in lines for a person."""
    lines = [
        f"frames {row['steps_ahead']:2} steps ahead: {row['imagined']:.1f} dB, the last again: {row['copied']:.1f} dB"
        for row in found.get("frames", ())
    ]
    if "actions" in found:
        each = ", ".join(f"{value:.4f}" for value in found["actions"]["median_error"])
        lines.append(f"actions, median absolute error by dimension, in the data's units: {each}")
        if away := found["actions"].get("position"):
            told = ", ".join(f"{value:.4f} ({name.replace('_', ' ')})" for name, value in away.items())
            lines.append(f"positions, median distance, in the data's units: {told}")
    return lines
