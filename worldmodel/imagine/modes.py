"""The five modes on recorded windows: predictions, inverse dynamics, frames beyond a chunk, and their errors."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from worldmodel import checkpoint
from worldmodel.config import UserError
from worldmodel.data.clips import Clips, ClipSpec
from worldmodel.data.source import open_source
from worldmodel.data.store import EpisodeStore
from worldmodel.flow import MODES
from worldmodel.imagine.image_metrics import CAP, psnr, squared
from worldmodel.model import Given, ModelConfig, Prediction, Want, WorldModel
from worldmodel.schema import ACTION, Clip

READING = 1
"""Sampling steps of inverse dynamics. What was done has one answer, whose mean given the frames is what one step gives;
more steps sample from what remains open (shipped model, mixed data: 4.7 mm, 5.3 with 2)."""


def open_clips(shape: ModelConfig, data: str, holdout: float = 0.0) -> Clips:
    """The windows of the recordings ``data`` (a store, or ``lerobot:...``) that fit a model of this shape.

    holdout: the share of last episodes to take; 0 for all. Raises UserError or ValueError, one line, for a misfit.
    """
    store = open_source(data, shape.size if shape.cameras else 0)
    if store.rate != shape.control_hz:
        raise UserError(f"{data} was recorded at {store.rate:g} Hz, the checkpoint acts at {shape.control_hz:g} Hz")
    if ACTION in store.keys and (width := store.row(ACTION)[0]) != shape.action_dim:
        raise UserError(f"{data} has actions of {width} numbers, the checkpoint {shape.action_dim}")
    spec = ClipSpec(shape.cameras, shape.chunk_size, shape.tasks, shape.states, shape.recorded)
    clips = Clips([store], spec, holdout, split="held out" if holdout else "train")
    if (width := clips.sample(1, 0).state.shape[1]) != shape.state_dim:
        raise UserError(f"{data} has a state of {width} numbers, the checkpoint {shape.state_dim}")
    return clips


def seen_in_training(name: str, store: EpisodeStore, holdout: float) -> str:
    """How many of a store's episodes behind ``holdout`` a checkpoint was trained on; empty where it names another."""
    made: Any = checkpoint.card(name).get("provenance", {})
    if not any(isinstance(d, dict) and d.get("fingerprint") == store.fingerprint for d in made.get("data", ())):
        return ""
    train, count = made.get("train") or {}, store.episodes
    if (share := train.get("holdout")) is None:
        unknown = "its record does not say which episodes were kept out" if holdout else "nothing here is held out"
        return f"The checkpoint was trained on this very store: {unknown}."
    trained = count - round(share * count)
    trained = min(trained, train.get("demonstrations", 0) or trained)
    first = count - round(holdout * count)
    first = first if holdout else 0
    if trained <= first:
        return f"The checkpoint was trained on this store, but on none of these {count - first} episodes."
    rest = count - trained
    kept = f"the last {rest} of {count} were kept out (holdout={share:g})" if rest else "none kept out"
    return f"The checkpoint was trained on {trained - first} of these {count - first} episodes; {kept}."


@torch.no_grad()
def read_actions(model: WorldModel, clip: Clip, generator: torch.Generator | None = None) -> Float[Tensor, "B H A"]:
    """The chunks, in physical units, that lead from a clip's observations to its later frames ``clip.future``."""
    given = Given(clip.images, clip.state, clip.task, None, clip.future, clip.at, clip.more)
    actions = model.predict(given, Want(actions=True), READING, generator=generator).actions
    assert actions is not None
    return actions.float()


def read_pairs(model: WorldModel, clip: Clip, generator: torch.Generator) -> Float[Tensor, "B H A"]:
    """Each action of the chunk from the real frame after it, two frames at a time; ``clip.future`` holds all H."""
    out = torch.empty(clip.action.shape)
    for first in [*range(0, len(out[0]) - 2, 2), max(0, len(out[0]) - 2)]:
        two = slice(first, first + 2)
        pair = replace(clip, future=clip.future[:, two], at=clip.at[:, two])
        out[:, two] = read_actions(model, pair, generator)[:, two]
    return out


def read_along(
    model: WorldModel, clips: Clips, windows: np.ndarray, generator: torch.Generator
) -> Float[Tensor, "B H A"]:
    """Each action of these windows' chunks from the frames just before and after it: labels for frames and states."""
    chunk_size, left = model.config.chunk_size, clips.end[windows] - 1 - clips.time[windows]
    out = torch.zeros(len(windows), chunk_size, model.config.action_dim)
    for step in range(chunk_size):
        clip = clips.gather(windows + np.minimum(step, left), np.tile([1, 2], (len(windows), 1)), done=True)
        out[:, step] = read_actions(model, clip.map(torch.as_tensor), generator)[:, 0]
    return out


def position_error(
    guess: Float[np.ndarray, "B H A"], real: Float[np.ndarray, "B H A"], relative: int
) -> Float[np.ndarray, "B H"]:
    """Distance between target positions: the first three dimensions, fewer where fewer are ``relative`` to a state."""
    many = min(3, relative)
    return np.asarray(np.linalg.norm(guess[..., :many] - real[..., :many], axis=-1))


def moments(mode: str, chunk_size: int) -> list[int]:
    """Control steps after the observation whose frames take part: joint mode 2, inverse mode all, others 4."""
    if mode == "inverse":
        return list(range(1, chunk_size + 1))
    if MODES[mode].actions == "wanted":
        return [max(1, chunk_size // 2), chunk_size]
    return [max(1, round(chunk_size * part / 4)) for part in (1, 2, 3, 4)]


@torch.no_grad()
def predict(
    model: WorldModel, clip: Clip, mode: str, steps: int, generator: torch.Generator | None = None
) -> Prediction:
    """A model's prediction in one mode for a clip: frames ``clip.at``, under the executed actions."""
    roles = MODES[mode]
    if roles.frames == "given":
        return Prediction(read_actions(model, clip, generator))
    actions = clip.executed if roles.actions == "given" else None
    given = Given(clip.images, clip.state, clip.task, actions, more=clip.more)
    if roles.actions == "wanted":
        at = clip.at if roles.frames == "wanted" else None
        return model.predict(given, Want(actions=True, at=at), steps, generator=generator)
    return Prediction(None, model.frames_ahead(given, clip.at, steps, generator))


def compare(clip: Clip, found: Prediction, relative: int = 0) -> dict[str, Any]:
    """JSON record: PSNR by steps ahead, beside the copy-last-frame baseline; action errors by dimension, in data units.

    "actions": median absolute error over windows and valid steps (inverse mode: those with a given frame); where the
    first ``relative`` dimensions are position targets, also the median distance, at the first step and over all.
    """
    record: dict[str, Any] = {"windows": len(clip.state)}
    if found.frames is not None:
        rows, there = [], clip.future_valid.numpy()
        for n in np.flatnonzero(there.any(0)):
            guesses, real = (found.frames[:, n], clip.images), clip.future[:, n]
            errors = [squared(guess, real)[there[:, n]].mean() for guess in guesses]
            imagined, copied = psnr(np.array(errors), CAP).round(2).tolist()
            rows.append({"steps_ahead": int(clip.at[0, n]), "imagined": imagined, "copy_last_frame": copied})
        record["frames"] = rows
    if found.actions is not None:
        each_step = clip.at.shape[1] == clip.valid.shape[1]
        valid = clip.valid & clip.future_valid if each_step else clip.valid
        if valid.any():
            record["actions"] = _actions(found.actions.float(), clip.action, valid, relative)
    return record


def _actions(guess: torch.Tensor, real: torch.Tensor, valid: torch.Tensor, relative: int) -> dict[str, Any]:
    wrong = (guess - real).abs()[valid]
    record: dict[str, Any] = {"median_error": wrong.median(0).values.tolist(), "steps": int(valid.sum())}
    if relative:
        away = torch.as_tensor(position_error(guess.numpy(), real.numpy(), relative))
        parts = {"first_step": away[:, 0][valid[:, 0]], "all": away[valid]}
        record["position"] = {name: float(values.median()) for name, values in parts.items() if len(values)}
    return record


def lines(record: dict[str, Any]) -> Sequence[str]:
    text = [
        f"frames {row['steps_ahead']:2} steps ahead: {row['imagined']:.1f} dB, "
        f"copy-last-frame baseline: {row['copy_last_frame']:.1f} dB"
        for row in record.get("frames", ())
    ]
    if "actions" in record:
        each = ", ".join(f"{value:.4f}" for value in record["actions"]["median_error"])
        text.append(f"actions, median absolute error by dimension, in the data's units: {each}")
        if away := record["actions"].get("position"):
            parts = ", ".join(f"{value:.4f} ({name.replace('_', ' ')})" for name, value in away.items())
            text.append(f"positions, median distance, in the data's units: {parts}")
    return text


def autoregressive(
    model: WorldModel,
    clips: Clips,
    windows: Int[np.ndarray, " B"],
    ahead: Int[np.ndarray, " K"],
    actions: bool,
    sampling: tuple[int, torch.Generator],
) -> UInt8[Tensor, "B K C H W 3"]:
    """Frames ``ahead`` control steps (ascending, from 1) after the windows' observations.

    With ``actions`` the model is given those that were executed, and each chunk's state as recorded; without, it is in
    video mode and keeps the first state. ``sampling``: steps and generator.
    """
    chunk_size, reach = model.config.chunk_size, int(ahead[-1])
    last = windows + clips.end[windows] - 1 - clips.time[windows]
    first = clips.gather(windows).map(torch.as_tensor)
    images, out = first.images, []
    for begin in range(0, reach, chunk_size):
        clip = first if begin == 0 else clips.gather(np.minimum(windows + begin, last)).map(torch.as_tensor)
        state = clip.state if actions else first.state
        given = Given(images, state, clip.task, clip.executed if actions else None, more=clip.more)
        wanted = ahead[(ahead > begin) & (ahead <= begin + chunk_size)] - begin
        asked = wanted if begin + chunk_size >= reach else np.union1d(wanted, [chunk_size])
        frames = model.frames_ahead(given, torch.as_tensor(asked), *sampling)
        out.append(frames[:, np.isin(asked, wanted)])
        images = frames[:, -1]
    return torch.cat(out, dim=1)
