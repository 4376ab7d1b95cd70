"""A training run's state on disk: everything that the next step depends on, so that resuming is exact."""

import copy
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from worldmodel import checkpoint
from worldmodel.damage import reading
from worldmodel.data.clips import Clips
from worldmodel.model import ModelConfig, WorldModel
from worldmodel.train.config import TrainConfig
from worldmodel.train.optimiser import Optimiser

TENSORS, CARD, KEEP = "state.safetensors", "state.json", 2
SAMPLES = 20_000  # windows that ranges are fitted to, at most


class TrainState:
    """A model, its moving average and its optimiser, with the number of steps taken.

    All randomness of a step is drawn from (seed, step), so these and the step number are the whole state, but for
    imagined rollouts that go on from step to step: ``rollouts`` holds theirs (`RolloutPool.tensors`).
    """

    def __init__(self, model: WorldModel, optimiser: Optimiser) -> None:
        self.model, self.optimiser, self.step = model, optimiser, 0
        self.rollouts: dict[str, Tensor] = {}
        self.ema = copy.deepcopy(model).requires_grad_(False)

    def fit(self, clips: Clips, seed: int) -> None:
        """Fit the ranges of the model and its average to the data."""
        fit_ranges(self.model, clips, seed)
        self.ema.load_state_dict(self.model.state_dict())

    def begin_from(self, name: str) -> None:
        """Take over a checkpoint's averaged weights, of every part that both have. Ranges stay as they were fitted.

        Raises CheckpointError for a missing or damaged checkpoint, or one of another shape.
        """
        fitted = {key for key, _ in self.model.named_buffers()}
        theirs = {k: v for k, v in checkpoint.load(name).state_dict().items() if k not in fitted}
        mine = {k: v for k, v in self.model.state_dict().items() if k in theirs}
        for key, value in mine.items():
            if value.shape != theirs[key].shape:
                shapes = f"{key} is {tuple(theirs[key].shape)} there, {tuple(value.shape)} here"
                raise checkpoint.CheckpointError(f"init={name}: a model of another shape ({shapes}); see model=")
        for model in (self.model, self.ema):
            model.load_state_dict({key: theirs[key] for key in mine}, strict=False)

    def save(self, folder: Path, card: dict[str, Any]) -> Path:
        """Write ``folder/<step>`` atomically and keep the last two. ValueError, and no file, where a weight is NaN."""
        if broken := checkpoint.not_finite(self.model.state_dict()):
            advice = f"training diverged, and is not saved; lower optimiser.lr ({folder.parent})"
            raise ValueError(f"{broken} is not finite after step {self.step}: {advice}")
        tensors = {f"model.{n}": t for n, t in self.model.state_dict().items()}
        tensors |= {f"ema.{n}": t for n, t in self.ema.state_dict().items()}
        tensors |= {f"optimiser.{n}": t for n, t in self.optimiser.state()}
        tensors |= {f"rollouts.{n}": t for n, t in self.rollouts.items()}
        plain = {n: t.detach().cpu().contiguous().clone() for n, t in tensors.items()}
        card = card | {"step": self.step, "config": asdict(self.model.config)}
        path = checkpoint.write_folder(folder / f"{self.step:08d}", plain, card, TENSORS, CARD)
        for old in saved(folder)[:-KEEP]:
            shutil.rmtree(old)
        return path

    def restore(self, folder: Path) -> dict[str, Any]:
        """Continue from a saved state; returns its card. Raises CheckpointError if damaged or of another shape."""
        tensors, card = checkpoint.read_folder(folder, TENSORS, CARD)

        def part(prefix: str) -> dict[str, torch.Tensor]:
            return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

        try:
            self.model.load_state_dict(part("model."))
            self.ema.load_state_dict(part("ema."))
        except RuntimeError as error:
            message = f"{folder}: saved by a model of another shape ({' '.join(str(error).split())[:120]})"
            raise checkpoint.CheckpointError(f"{message}; use another out=") from None
        with reading(f"the state {folder}", checkpoint.CheckpointError, "remove it to resume from the one before"):
            self.optimiser.restore(part("optimiser."))
            self.rollouts = part("rollouts.")
            self.step = int(card["step"])
        return card


def fit_ranges(model: WorldModel, clips: Clips, seed: int) -> None:
    """Fit all ranges of a fresh model to windows of its data."""
    device = next(model.parameters()).device
    model.fit(clips.sample(SAMPLES, seed).map(lambda array: torch.as_tensor(array).to(device)))


def saved(folder: Path) -> list[Path]:
    """Saved states, oldest first."""
    return sorted(p for p in folder.glob("[0-9]*") if (p / CARD).is_file())


def build(config: ModelConfig, run: TrainConfig, external: int, device: torch.device) -> TrainState:
    """A fresh learner with weights drawn from the seed. external: channels of a frozen encoder's features, or 0."""
    torch.manual_seed(run.seed)
    model = WorldModel(config, run.objective.spec.teacher != "none", external).to(device)
    return TrainState(model, Optimiser(model, run.optimiser, run.steps))
