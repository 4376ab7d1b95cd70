"""The measuring of a scorecard: batch after batch of recorded windows."""

from collections import defaultdict
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from rich.progress import track
from torch import Tensor

from worldmodel import checkpoint
from worldmodel.backbone import fast_dtype
from worldmodel.data.clips import Clips
from worldmodel.flow import MODES
from worldmodel.imagine import image_metrics
from worldmodel.imagine.config import ScoreConfig
from worldmodel.imagine.image_metrics import squared
from worldmodel.imagine.modes import autoregressive, open_clips, position_error, read_actions, read_pairs
from worldmodel.imagine.score.gallery import Gallery
from worldmodel.imagine.score.windows import ScoreWindows, plan, remarks
from worldmodel.model import Given, ModelConfig, WorldModel
from worldmodel.schema import Clip, segmentation_key

SOURCES = {"imagined": "forward", "no_action": "video"}
"""Where imagined frames come from, and the mode that it takes; beside them ``copy_last_frame``."""


def zero_motion(model: WorldModel, clip: Clip, mean: Float[np.ndarray, " A"]) -> Float[np.ndarray, "B H A"]:
    """Chunks that hold the observed state, and the mean of dimensions that are no targets."""
    still = model.actions.origin(clip.state).numpy().copy()
    still[..., model.config.relative :] = mean[model.config.relative :]
    return np.broadcast_to(still, clip.action.shape)


def sensitivity_step(shape: ModelConfig) -> int:
    """Control steps ahead at which action sensitivity is measured: half a second, or the chunk's end."""
    return min(shape.chunk_size, max(1, round(0.5 * shape.control_hz)))


def action_sensitivity(
    model: WorldModel, clips: Clips, windows: np.ndarray, others: np.ndarray, sampling: tuple[int, int]
) -> Float[np.ndarray, "B 2 C"]:
    """Squared error of the frame `sensitivity_step` ahead: under the true actions, and under those of ``others``.

    Of another window the motion is taken: targets relative to its own state. Both begin from the same noise
    (``sampling``: steps and seed), so that a model which ignores actions gives the same answer twice.
    """
    step = sensitivity_step(model.config)
    clip = clips.gather(windows, np.full((len(windows), 1), step)).map(torch.as_tensor)
    other = clips.gather(others).map(torch.as_tensor)
    moved = other.executed - model.actions.origin(other.state) + model.actions.origin(clip.state)
    errors = []
    for actions in (clip.executed, moved):
        given = Given(clip.images, clip.state, clip.task, actions, more=clip.more)
        noise = torch.Generator().manual_seed(sampling[1])
        frames = model.frames_ahead(given, sorted({max(1, step // 2), step}), sampling[0], noise)
        errors.append(squared(frames[:, -1], clip.future[:, 0]))
    return np.stack(errors, axis=1)


@dataclass
class Measured:
    """What was found. ``values``: arrays with one row per window of ``plan.chosen``, as many as were measured.

    ``valid`` (W, K): the frame lies inside the episode. ``<source>.squared``, ``.ssim`` (W, K, C) and, where pixels are
    known, ``.parts`` with ``parts.pixels``; ``<source>.lpips`` (W, M, C) at the marks. ``policy``, ``zero_motion``:
    absolute errors (W, H, A), ``known`` (W, H): the step was predictable. ``inverse_error.<what>``: distances (W, H).
    ``action_sensitivity`` (W, 2, C): see there.
    """

    plan: ScoreWindows
    values: dict[str, np.ndarray]
    width: np.ndarray
    gallery: Gallery
    notes: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


class Evaluator:
    """Measures batches of windows with one model."""

    def __init__(self, model: WorldModel, scheme: ScoreWindows, config: ScoreConfig) -> None:
        self.model, self.plan, self.config = model, scheme, config
        self.noise = torch.Generator().manual_seed(config.seed)
        self.sampling = (config.steps, self.noise)
        self.lpips = image_metrics.perceptual(config.fetch) if model.config.cameras else "There are no frames."
        known = scheme.clips.sample(20_000, config.seed).action.reshape(-1, model.config.action_dim)
        self.width, self.mean = np.maximum(np.ptp(known, axis=0), 1e-9), known.mean(0)
        self.gallery = Gallery(config.show)

    def batch(self, first: int) -> dict[str, np.ndarray]:
        """Everything about the windows from number ``first`` of the plan on."""
        where = slice(first, first + self.config.batch)
        windows = self.plan.chosen[where]
        model, modes, chunk_size = self.model, self.plan.modes, self.model.config.chunk_size
        at = np.unique([max(1, chunk_size // 2), chunk_size])
        clip = self.plan.clips.gather(windows, np.tile(at, (len(windows), 1))).map(torch.as_tensor)
        truth, still = clip.action.numpy(), zero_motion(model, clip, self.mean)
        found: dict[str, np.ndarray] = {"known": clip.valid.numpy(), "zero_motion": np.abs(still - truth)}
        chunks = None
        if "policy" in modes:
            given = Given(clip.images, clip.state, clip.task, more=clip.more)
            chunks = np.asarray(model.act(given, self.config.steps, generator=self.noise).float().numpy())
            found["policy"] = np.abs(chunks - truth)
        if not model.config.cameras:
            return found
        if "inverse" in modes and model.config.relative and len(at) == 2:
            found |= self._inverse(windows, chunks, at)
        if "forward" in modes and len(self.plan.chosen) > 1:
            found |= self._sensitivity(where)
        return found | self._frames(windows, self.plan.episode[where], clip.images)

    def _inverse(self, windows: np.ndarray, policy: np.ndarray | None, at: np.ndarray) -> dict[str, np.ndarray]:
        """Distances of the positions that were carried out; beside them the policy's, without later frames."""
        model, chunk_size = self.model, self.model.config.chunk_size
        every, gather = np.tile(np.arange(1, chunk_size + 1), (len(windows), 1)), self.plan.clips.gather
        clip, whole = (gather(windows, when, done=True).map(torch.as_tensor) for when in (every[:, at - 1], every))
        guesses = {"real": read_actions(model, clip, self.noise).numpy()}
        if "forward" in self.plan.modes:
            given = Given(clip.images, clip.state, clip.task, clip.executed, more=clip.more)
            imagined = replace(clip, future=model.frames_ahead(given, clip.at, *self.sampling))
            guesses["imagined"] = read_actions(model, imagined, self.noise).numpy()
        guesses["every"] = read_pairs(model, whole, self.noise).numpy()
        if policy is not None:
            guesses["policy"] = policy
        guesses["zero_motion"] = zero_motion(model, clip, self.mean)
        truth, relative = clip.action.numpy(), model.config.relative
        rows = {f"inverse_error.{name}": position_error(g, truth, relative) for name, g in guesses.items()}
        there = clip.valid.numpy() & clip.future_valid.numpy().all(1)[:, None]
        return rows | {"inverse_error.known": there}

    def _sensitivity(self, where: slice) -> dict[str, np.ndarray]:
        """Errors under the window's own actions and under those of the window half the list away."""
        chosen, clips = self.plan.chosen, self.plan.clips
        windows, others = chosen[where], np.roll(chosen, len(chosen) // 2)[where]
        sampling = self.config.steps, self.config.seed + where.start
        inside = clips.time[windows] + sensitivity_step(self.model.config) < clips.end[windows]
        errors = action_sensitivity(self.model, clips, windows, others, sampling)
        return {"action_sensitivity": errors, "action_sensitivity.valid": inside}

    def _frames(self, windows: np.ndarray, episodes: np.ndarray, last: Tensor) -> dict[str, np.ndarray]:
        """Metrics against the recorded frames of what was imagined with and without actions, and of the last frame."""
        clips, ahead = self.plan.clips, self.plan.ahead
        later = clips.gather(windows, np.tile(ahead, (len(windows), 1)))
        real, valid = torch.as_tensor(later.future), later.future_valid
        guesses = {
            source: autoregressive(self.model, clips, windows, ahead, source == "imagined", self.sampling)
            for source, mode in SOURCES.items()
            if mode in self.plan.modes
        }
        guesses["copy_last_frame"] = last[:, None].expand_as(real)
        mask = self._mask(windows) if self.plan.parts else None
        found = {"valid": valid}
        if mask is not None:
            found["parts.pixels"] = mask.sum((-2, -1)).numpy()
        for source, guess in guesses.items():
            found |= self._metrics(source, guess, real, mask)
        for source in [name for name in SOURCES if name in guesses][:1]:
            error = found[f"{source}.squared"].mean(2)
            self.gallery.offer(windows, episodes, error, valid, (last, real, guesses[source]))
        return found

    def _metrics(self, source: str, guess: Tensor, real: Tensor, mask: Tensor | None) -> dict[str, np.ndarray]:
        found = {f"{source}.squared": image_metrics.squared(guess, real)}
        found[f"{source}.ssim"] = image_metrics.similarity(guess, real)
        if mask is not None:
            found[f"{source}.parts"] = image_metrics.squared_on(guess, real, mask)
        if not isinstance(self.lpips, str):
            marks = list(self.plan.marks)
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


def measure_all(model: WorldModel, config: ScoreConfig) -> Measured:
    """Measure. After Ctrl-C, what was measured so far: windows come in random order, so it is a fair sample."""
    clips = open_clips(model.config, config.data, config.holdout)
    modes = checkpoint.trained_modes(config.checkpoint) or tuple(MODES)
    scheme = plan(clips, model.config, config, modes)
    model.compute_in(fast_dtype(torch.device("cpu")))
    evaluator, parts = Evaluator(model, scheme, config), defaultdict[str, list[np.ndarray]](list)
    notes, count = remarks(scheme, model.config, config), 0
    try:
        for first in track(range(0, len(scheme.chosen), config.batch), "score", transient=True):
            found = evaluator.batch(first)
            for name, values in found.items():
                parts[name].append(values)
            count += len(found["known"])
    except KeyboardInterrupt:
        if not count:
            raise
        notes.append(f"Interrupted: {count} of {len(scheme.chosen)} windows, in random order, were measured.")
    joined = {name: np.concatenate(values) for name, values in parts.items()}
    left_out = {"lpips": evaluator.lpips} if isinstance(evaluator.lpips, str) else {}
    left_out |= untrained(model, modes)
    return Measured(scheme, joined, evaluator.width, evaluator.gallery, notes, left_out)


def untrained(model: WorldModel, modes: tuple[str, ...]) -> dict[str, str]:
    """A sentence for every part that this checkpoint cannot do."""
    if not model.config.cameras:
        frames = "This model uses no frames, so it imagines none."
        return dict.fromkeys(("imagined", "no_action", "inverse_error", "action_sensitivity", "lpips"), frames)
    needs = {**SOURCES, "action_sensitivity": "forward", "inverse_error": "inverse", "policy": "policy"}
    missing = {part: mode for part, mode in needs.items() if mode not in modes}
    reason = "The checkpoint was not trained for the mode {0} (modes.{0}=0)."
    found = {part: reason.format(mode) for part, mode in missing.items()}
    if "inverse_error" not in found and not model.config.relative:
        found["inverse_error"] = "No dimension of an action is a target position of the state, so there is no distance."
    return found
