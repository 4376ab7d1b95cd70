"""The verb ``score``: a checkpoint against recordings, open loop, where no simulator can tell how good it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track

from worldmodel import checkpoint
from worldmodel.backbone import fast_dtype
from worldmodel.config import UserError, option
from worldmodel.data import EpisodeStore
from worldmodel.data.clips import Clips, ClipSpec
from worldmodel.data.source import open_source
from worldmodel.eval.candidate import use_threads
from worldmodel.eval.stats import decibels
from worldmodel.experience import ACTION, Clip
from worldmodel.model import Given, ModelConfig, WorldModel


@dataclass(frozen=True)
class ScoreConfig:
    """What to score, and on which recordings."""

    data: str = option("folder of an EpisodeStore, or lerobot:FOLDER_OR_REPO_ID")
    checkpoint: str = option("shipped, or the folder of a training run or model", "shipped")
    out: str | None = option("folder for score.json", None)
    windows: int = option("moments to score, at random; all where there are fewer", 512)
    holdout: float = option("score the last episodes only: the share that training kept out; 0 for all", 0.0)
    batch: int = option("moments per forward pass", 32)
    steps: int = option("sampling steps", 2)
    seed: int = option("of the moments and of the sampling noise", 0)
    threads: int = option("CPU threads; 0 for half of the cores", 0)

    def __post_init__(self) -> None:
        for name in ("windows", "batch", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected at least 1")
        if not 0 <= self.holdout < 1:
            raise ValueError(f"holdout={self.holdout}: expected a share in [0, 1)")


def score(config: ScoreConfig) -> int:
    """Print how far predicted actions and frames are from what was recorded, beside the simplest guesses."""
    use_threads(config.threads)
    model = checkpoint.load(config.checkpoint)
    found = {"checkpoint": config.checkpoint, "data": config.data, **measure(model, config)}
    actions = found["actions"]
    print(
        f"actions: {100 * actions['error']:.2f} % of their range off (mean over {found['windows']} chunks); "
        f"a model that stays where it is: {100 * actions['staying']:.2f} %"
    )
    for row in found["frames"]:
        imagined, copied = row["imagined"], row["copied"]
        print(f"frames {row['steps_ahead']:2} steps ahead: {imagined:.1f} dB, the last one again: {copied:.1f} dB")
    if config.out is not None:
        Path(config.out).mkdir(parents=True, exist_ok=True)
        (Path(config.out) / "score.json").write_text(json.dumps(found, indent=1) + "\n")
    return 0


def measure(model: WorldModel, config: ScoreConfig) -> dict[str, Any]:
    """Errors as a JSON record.

    "actions": mean absolute error over the chunk's valid steps as a share of each dimension's range in the data
    ("error", and "staying" for a guess that holds the observed state and the mean of all else), and "each" in the
    data's own units. "frames": PSNR in decibels at some steps ahead, imagined under the recorded actions and copied.
    """
    clips = open_clips(model.config, config)
    store = clips.stores[0]
    model.compute_in(fast_dtype(torch.device("cpu")))
    generator, rng = torch.Generator().manual_seed(config.seed), np.random.default_rng(config.seed)
    windows = np.sort(rng.permutation(len(clips))[: config.windows])
    known = clips.sample(20_000, config.seed)[0].reshape(-1, model.config.action_dim)
    width = np.maximum(np.ptp(known, axis=0), 1e-9)
    ahead = sorted({1, model.config.horizon // 4, model.config.horizon // 2, model.config.horizon} - {0})
    wrong, count = np.zeros((2, model.config.action_dim)), 0
    pictures, seen = np.zeros((2, len(ahead))), np.zeros(len(ahead))
    for first in track(range(0, len(windows), config.batch), "score", transient=True):
        chosen = windows[first : first + config.batch]
        clip = clips.gather(chosen, np.tile(ahead, (len(chosen), 1))).map(torch.as_tensor)
        valid = clip.valid.numpy()
        for row, guess in enumerate((_actions(model, clip, config, generator), _staying(model, clip, known.mean(0)))):
            wrong[row] += np.abs(guess - clip.action.numpy())[valid].sum(0)
        count += int(valid.sum())
        if model.config.cameras:
            errors, there = _frames(model, clip, config, generator), clip.future_valid.numpy()
            pictures += (errors * there).sum(1)
            seen += there.sum(0)
    each = wrong / max(count, 1)
    psnr = decibels(pictures / np.maximum(seen, 1))
    return {
        "fingerprint": store.fingerprint,
        "windows": len(windows),
        "actions": {
            "error": float((each[0] / width).mean()),
            "staying": float((each[1] / width).mean()),
            "each": each[0].tolist(),
        },
        "frames": [
            {"steps_ahead": step, "imagined": float(psnr[0, n]), "copied": float(psnr[1, n])}
            for n, step in enumerate(ahead)
            if model.config.cameras and seen[n]
        ],
    }


def open_clips(shape: ModelConfig, config: ScoreConfig) -> Clips:
    """The recordings' windows as the model wants them. Raises UserError or ValueError, one line, for a misfit."""
    store: EpisodeStore = open_source(config.data, shape.size if shape.cameras else 0)
    if store.rate != shape.rate:
        raise UserError(f"{config.data} was recorded at {store.rate:g} Hz, the checkpoint acts at {shape.rate:g} Hz")
    if ACTION in store.keys and store.row(ACTION)[0] != shape.action_dim:
        raise UserError(
            f"{config.data} has actions of {store.row(ACTION)[0]} numbers, the checkpoint {shape.action_dim}"
        )
    heard = shape.audio.steps if shape.audio else 0
    spec = ClipSpec(shape.cameras, shape.horizon, shape.tasks, shape.states, heard)
    clips = Clips([store], spec, config.holdout, split="held out" if config.holdout else "train")
    if (width := clips.sample(1, 0)[1].shape[1]) != shape.state_dim:
        raise UserError(f"{config.data} has a state of {width} numbers, the checkpoint {shape.state_dim}")
    return clips


def _actions(model: WorldModel, clip: Clip, config: ScoreConfig, generator: torch.Generator) -> np.ndarray:
    """The chunks that the model would act, float32 (B, H, A)."""
    given = Given(clip.images, clip.state, clip.task, more=clip.more)
    return model.act(given, config.steps, generator=generator).float().numpy()


def _staying(model: WorldModel, clip: Clip, mean: np.ndarray) -> np.ndarray:
    """Chunks of one who holds the observed state, and the mean of dimensions that are no targets."""
    still = model.actions.origin(clip.state).numpy().copy()
    still[..., model.config.relative :] = mean[model.config.relative :]
    return np.broadcast_to(still, clip.action.shape)


def _frames(model: WorldModel, clip: Clip, config: ScoreConfig, generator: torch.Generator) -> np.ndarray:
    """Mean squared error of each moment (2, B, F): imagined under what was executed, and the last frame again."""
    given = Given(clip.images, clip.state, clip.task, actions=clip.executed, more=clip.more)
    real, errors = clip.future.numpy().astype(np.float32), np.zeros((2, *clip.at.shape))
    for pair in range(0, clip.at.shape[1], 2):  # two moments at a time, as in training
        at = clip.at[:, [pair, min(pair + 1, clip.at.shape[1] - 1)]]
        guess = model.imagine(given, at, config.steps, generator=generator).numpy()
        part = slice(pair, pair + 2)
        errors[0, :, part] = ((guess - real[:, part]) ** 2).mean((2, 3, 4, 5))[:, : real[:, part].shape[1]]
    errors[1] = ((clip.images.numpy()[:, None] - real) ** 2).mean((2, 3, 4, 5))
    return errors
