"""The five modes on recorded windows: predictions and their errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from worldmodel.flow import MODES
from worldmodel.imagine.image_metrics import CAP, psnr, squared
from worldmodel.imagine.inverse import position_error, read_actions
from worldmodel.model import Given, Prediction, Want, WorldModel
from worldmodel.model.ahead import frames_ahead
from worldmodel.schema import Clip


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
    return Prediction(None, frames_ahead(model, given, clip.at, steps, generator))


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
