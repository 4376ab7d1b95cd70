"""The measuring: window after window, every number kept per window, so that any average can be taken later."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from worldmodel.backbone import fast_dtype
from worldmodel.imagine.score import acting, frechet, likeness
from worldmodel.imagine.score.chain import chained
from worldmodel.imagine.score.config import ScoreConfig
from worldmodel.imagine.score.gallery import Gallery
from worldmodel.imagine.score.summary import summarise
from worldmodel.imagine.score.windows import Plan, modes_of, open_clips, plan, remarks
from worldmodel.model import WorldModel
from worldmodel.schema import segmentation_key

SOURCES = {"imagined": "forward", "no_action": "video"}
"""Where imagined frames come from, and the mode that it takes; beside them ``copied``, the last frame seen."""


@dataclass
class Measured:
    """What was found. ``values``: arrays with one row per window of ``plan.chosen``, as many as were measured.

    ``valid`` (W, K): the frame lies inside the episode. ``<source>.squared``, ``.ssim`` (W, K, C) and, where pixels are
    known, ``.parts`` with ``parts.pixels``; ``<source>.lpips`` (W, M, C) and ``.features`` (W, M, C, D) at the marks.
    ``policy``, ``staying``: absolute errors (W, H, A), ``known`` (W, H): the step could be foreseen.
    ``inverse.<what>``: distances (W, H). ``heeded`` (W, 2, C): see `acting.sensitivity`.
    """

    plan: Plan
    values: dict[str, np.ndarray]
    width: np.ndarray
    gallery: Gallery
    notes: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


class Ruler:
    """Measures batches of windows with one model."""

    def __init__(self, model: WorldModel, scheme: Plan, config: ScoreConfig) -> None:
        self.model, self.plan, self.config = model, scheme, config
        self.noise = torch.Generator().manual_seed(config.seed)
        self.sampling = (config.steps, self.noise)
        self.net = frechet.network()
        self.lpips = likeness.perceptual(config.fetch) if model.config.cameras else "There are no frames."
        known = scheme.clips.sample(20_000, config.seed).action.reshape(-1, model.config.action_dim)
        self.width, self.mean = np.maximum(np.ptp(known, axis=0), 1e-9), known.mean(0)
        self.gallery = Gallery(config.show)

    def batch(self, first: int) -> dict[str, np.ndarray]:
        """Everything about the windows from number ``first`` of the plan on."""
        where = slice(first, first + self.config.batch)
        windows = self.plan.chosen[where]
        model, modes, horizon = self.model, self.plan.modes, self.model.config.horizon
        at = np.unique([max(1, horizon // 2), horizon])
        clip = self.plan.clips.gather(windows, np.tile(at, (len(windows), 1))).map(torch.as_tensor)
        found: dict[str, np.ndarray] = {"known": clip.valid.numpy()}
        truth = clip.action.numpy()
        found["staying"] = np.abs(acting.staying(model, clip, self.mean) - truth)
        guess = acting.chunks(model, clip, self.sampling) if "policy" in modes else None
        if guess is not None:
            found["policy"] = np.abs(guess - truth)
        if not model.config.cameras:
            return found
        if "inverse" in modes and model.config.relative and len(at) == 2:
            found |= self._inverse(windows, guess, at)
        if "forward" in modes and len(self.plan.chosen) > 1:
            found |= self._heeded(where)
        return found | self._frames(windows, self.plan.episode[where], clip.images)

    def _inverse(self, windows: np.ndarray, policy: np.ndarray | None, at: np.ndarray) -> dict[str, np.ndarray]:
        """Distances of the positions that were carried out; beside them the policy's, which sees no later frame."""
        clips, horizon = self.plan.clips, self.model.config.horizon
        every = np.tile(np.arange(1, horizon + 1), (len(windows), 1))
        clip, whole = (clips.gather(windows, w, done=True).map(torch.as_tensor) for w in (every[:, at - 1], every))
        guesses = acting.inverse(self.model, clip, at, self.sampling, "forward" in self.plan.modes)
        guesses |= {"every": acting.inverse_every(self.model, whole, self.sampling[1])}
        if policy is not None:
            guesses["policy"] = policy
        relative, truth = self.model.config.relative, clip.action.numpy()
        guesses["staying"] = acting.staying(self.model, clip, self.mean)
        rows = {f"inverse.{name}": acting.position_error(g, truth, relative) for name, g in guesses.items()}
        there = clip.valid.numpy() & clip.future_valid.numpy().all(1)[:, None]
        return rows | {"inverse.known": there}

    def _heeded(self, where: slice) -> dict[str, np.ndarray]:
        """Errors under the window's own actions and under those of the window half the list away."""
        chosen, clips = self.plan.chosen, self.plan.clips
        windows, others = chosen[where], np.roll(chosen, len(chosen) // 2)[where]
        step = heed_step(self.model)
        errors = acting.sensitivity(
            self.model, clips, windows, others, step, (self.config.steps, self.config.seed + where.start)
        )
        return {"heeded": errors, "heeded.valid": clips.time[windows] + step < clips.end[windows]}

    def _frames(self, windows: np.ndarray, episodes: np.ndarray, last: Tensor) -> dict[str, np.ndarray]:
        """Likeness to the recorded frames of what was imagined with and without actions, and of the last frame."""
        clips, ahead = self.plan.clips, self.plan.ahead
        later = clips.gather(windows, np.tile(ahead, (len(windows), 1)))
        real, valid = torch.as_tensor(later.future), later.future_valid
        guesses = {
            source: chained(self.model, clips, windows, ahead, source == "imagined", self.sampling)
            for source, mode in SOURCES.items()
            if mode in self.plan.modes
        }
        guesses["copied"] = last[:, None].expand_as(real)
        mask = self._mask(windows) if self.plan.parts else None
        found = {"valid": valid}
        if mask is not None:
            found["parts.pixels"] = mask.sum((-2, -1)).numpy()
        marks = list(self.plan.marks)
        found["real.features"] = frechet.features(self.net, real[:, marks])
        for source, guess in guesses.items():
            found |= self._likeness(source, guess, real, mask)
        shown = guesses.get("imagined", guesses.get("no_action"))
        if shown is not None:
            error = found["imagined.squared" if "imagined" in guesses else "no_action.squared"].mean(2)
            self.gallery.offer(windows, episodes, error, valid, (last, real, shown))
        return found

    def _likeness(self, source: str, guess: Tensor, real: Tensor, mask: Tensor | None) -> dict[str, np.ndarray]:
        found = {
            f"{source}.squared": likeness.squared(guess, real),
            f"{source}.ssim": likeness.similarity(guess, real),
        }
        if mask is not None:
            found[f"{source}.parts"] = likeness.squared_on(guess, real, mask)
        marks = list(self.plan.marks)
        found[f"{source}.features"] = frechet.features(self.net, guess[:, marks])
        if not isinstance(self.lpips, str):
            pairs = self.lpips(guess[:, marks], real[:, marks])
            found[f"{source}.lpips"] = pairs.reshape(guess.shape[0], len(marks), -1).numpy()
        return found

    def _mask(self, windows: np.ndarray) -> Tensor:
        """Which pixels of the later frames are gripper or object, bool (B, K, C, H, W)."""
        clips = self.plan.clips
        later = np.minimum(clips.time[windows][:, None] + self.plan.ahead, clips.end[windows][:, None] - 1)
        store = clips.stores[0]
        parts = [store.array(segmentation_key(camera)).take(later) for camera in clips.spec.cameras]
        return torch.as_tensor(np.stack(parts, axis=2) > 0)


def heed_step(model: WorldModel) -> int:
    """Control steps ahead at which it is asked whether actions matter: half a second, or the chunk's end."""
    return min(model.config.horizon, max(1, round(0.5 * model.config.rate)))


def measure_all(model: WorldModel, config: ScoreConfig) -> Measured:
    """Measure. After Ctrl-C, what was measured so far: windows come in random order, so it is a fair sample."""
    clips, modes = open_clips(model.config, config), modes_of(config.checkpoint)
    scheme = plan(clips, model.config, config, modes)
    model.compute_in(fast_dtype(torch.device("cpu")))
    ruler, parts = Ruler(model, scheme, config), defaultdict[str, list[np.ndarray]](list)
    notes, count = remarks(scheme, model.config, config), 0
    try:
        for first in track(range(0, len(scheme.chosen), config.batch), "score", transient=True):
            found = ruler.batch(first)
            for name, values in found.items():
                parts[name].append(values)
            count += len(found["known"])
    except KeyboardInterrupt:
        if not count:
            raise
        notes.append(f"Interrupted: {count} of {len(scheme.chosen)} windows, in random order, were measured.")
    joined = {name: np.concatenate(values) for name, values in parts.items()}
    left_out = {} if not isinstance(ruler.lpips, str) else {"lpips": ruler.lpips}
    return Measured(scheme, joined, ruler.width, ruler.gallery, notes, left_out | untrained(model, modes))


def untrained(model: WorldModel, modes: tuple[str, ...]) -> dict[str, str]:
    """A sentence for every part that this checkpoint cannot do."""
    if not model.config.cameras:
        frames = "This model sees no frames, so it imagines none."
        return dict.fromkeys(("imagined", "no_action", "inverse", "sensitivity", "lpips", "frechet"), frames)
    needs = {**SOURCES, "sensitivity": "forward", "inverse": "inverse", "policy": "policy"}
    found = {
        part: f"The checkpoint was not trained for the mode {mode} (modes.{mode}=0)."
        for part, mode in needs.items()
        if mode not in modes
    }
    if "inverse" not in found and not model.config.relative:
        found["inverse"] = "No dimension of an action is a target position of the state, so there is no distance."
    return found


def measure(model: WorldModel, config: ScoreConfig) -> dict[str, Any]:
    """The scorecard as a JSON record; see `summarise` for what is in it."""
    return summarise(measure_all(model, config), model.config, config)
