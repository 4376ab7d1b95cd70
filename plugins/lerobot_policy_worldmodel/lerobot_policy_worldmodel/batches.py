"""LeRobot's batches as worldmodel's: tensors by its keys in, a `Given` to act on or a `Clip` to learn from out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from worldmodel.data.computed import fit
from worldmodel.model import Given, ModelConfig, WorldModel
from worldmodel.schema import ACTION, EXECUTED, Clip, image_key
from worldmodel.tokens.language import SENTENCE, Language
from worldmodel.tokens.task import index_of

type Batch = Mapping[str, Any]


def camera_key(camera: str, keys: Any) -> str:
    """LeRobot's key of a camera: ``observation.images.<camera>``, or ``observation.<camera>`` in the old way.

    Raises ValueError, one line, where ``keys`` have neither.
    """
    for key in (image_key(camera), f"observation.{camera}"):
        if key in keys:
            return key
    raise ValueError(f"the policy needs {image_key(camera)!r}; there is {', '.join(k for k in keys if 'image' in k)}")


def pixels(frames: Float[Tensor, "*batch 3 height width"], size: int) -> UInt8[Tensor, "*batch size size 3"]:
    """LeRobot's frames (floats in [0, 1], colour first) as bytes, cropped and resized to a model's ``size``."""
    whole = frames.mul(255).round().clamp(0, 255).to(torch.uint8).movedim(-3, -1)
    if whole.shape[-3:-1] == (size, size):
        return whole
    small = fit(whole.reshape(-1, *whole.shape[-3:]).cpu().numpy(), size)
    return torch.as_tensor(small, device=frames.device).reshape(*whole.shape[:-3], size, size, 3)


def images(batch: Batch, config: ModelConfig) -> UInt8[Tensor, "B T C size size 3"]:
    """The frames of all cameras, in the model's order; a batch without a time axis has one moment, T = 1."""
    each = []
    for camera in config.cameras:
        frames = batch[camera_key(camera, batch)]
        each.append(pixels(frames if frames.ndim == 5 else frames[:, None], config.size))
    return torch.stack(each, dim=2)


def state(batch: Batch, config: ModelConfig) -> Float[Tensor, "B S"]:
    """The state vectors at the observation, one after another."""
    if missing := [key for key in config.states if key not in batch]:
        raise ValueError(f"the policy needs {missing[0]!r}; there is {', '.join(batch)}")
    parts = [batch[key] if batch[key].ndim == 2 else batch[key][:, 0] for key in config.states]
    vector = torch.cat([part.float() for part in parts], dim=-1)
    if vector.shape[1] != config.state_dim:
        raise ValueError(f"the policy needs a state of {config.state_dim} numbers, got {vector.shape[1]}")
    return vector


def told(batch: Batch, model: WorldModel, fallback: str | None) -> tuple[Int[Tensor, " B"], dict[str, Tensor]]:
    """Each row's task, and for a model that reads also what it is told in words.

    A batch says its ``task`` in text. A model of one task need not be told; a model that reads takes any sentence.
    Raises ValueError, one line, for a task that the model does not know.
    """
    tasks, rows = model.config.tasks, len(next(value for value in batch.values() if isinstance(value, Tensor)))
    said = batch.get("task") or [""] * rows
    texts = [text or fallback or "" for text in ([said] * rows if isinstance(said, str) else said)]
    if isinstance(model.instruction, Language):
        usual = model.instruction.usual.cpu().numpy()
        words = [usual[tasks.index(t)] if t in tasks else model.instruction.encode(t or tasks[0]) for t in texts]
        numbers = [tasks.index(text) if text in tasks else 0 for text in texts]
        return torch.tensor(numbers), {SENTENCE: torch.as_tensor(np.stack(words))}
    if len(tasks) == 1:
        return torch.zeros(rows, dtype=torch.int64), {}
    if "" in texts:
        raise ValueError(f"the batch names no task; add --policy.task=, one of {', '.join(tasks)}")
    return torch.tensor([index_of(text, tasks) for text in texts]), {}


def given(batch: Batch, model: WorldModel, fallback: str | None) -> Given:
    """What a policy acts on."""
    vector = state(batch, model.config)
    task, more = told(batch, model, fallback)
    device = vector.device
    seen = images(batch, model.config)[:, 0]
    return Given(seen, vector, task.to(device), more={key: value.to(device) for key, value in more.items()})


@dataclass(frozen=True)
class Pushes:
    """What was really executed, over a whole data set, float32 (T, A); ``ends``: where its episodes end, int64 (E,).

    LeRobot loads chunks of ``action`` alone, so these are looked up by each sample's ``index``.
    """

    executed: np.ndarray
    ends: np.ndarray

    def chunk(self, index: Int[Tensor, " B"], horizon: int) -> Float[Tensor, "B H A"]:
        """The executed chunk from each row on, its episode's last one repeated past the end."""
        first = index.reshape(-1).cpu().numpy()
        end = self.ends[np.searchsorted(self.ends, first, side="right")]
        rows = np.minimum(first[:, None] + np.arange(horizon), end[:, None] - 1)
        return torch.as_tensor(self.executed[rows]).to(index.device)


def foreseen(wanted: Tensor, executed: Tensor) -> Bool[Tensor, "B H"]:
    """Chunk steps before any push that nothing in the observation announced, as in `worldmodel.data.clips`."""
    pushed = (wanted - executed).abs().amax(-1) > 1e-6
    return pushed.long().cumsum(1) - pushed.long() == 0


def clip(
    batch: Batch, model: WorldModel, pushes: Pushes | None, choice: np.ndarray | None, moments: Sequence[int]
) -> Clip:
    """A batch to learn from. ``choice`` int (B, F), ascending: which of the loaded ``moments`` each row's frames are.

    None leaves future frames out.
    """
    task, more = told(batch, model, None)
    action = batch[ACTION].float()
    executed = action if pushes is None else pushes.chunk(batch["index"], action.shape[1])
    past = batch.get(f"{ACTION}_is_pad", torch.zeros(action.shape[:2], dtype=torch.bool, device=action.device))
    frames = images(batch, model.config)
    future = at = inside = None
    if choice is not None:
        row, pick = torch.arange(len(frames))[:, None], torch.as_tensor(choice)
        future = frames[row, pick + 1]
        at = torch.as_tensor(moments)[pick].to(action.device)
        key = f"{camera_key(model.config.cameras[0], batch)}_is_pad"
        inside = ~batch[key][row, pick + 1] if key in batch else torch.ones_like(at, dtype=torch.bool)
    return Clip(
        images=frames[:, 0],
        state=state(batch, model.config),
        task=task.to(action.device),
        action=action,
        executed=executed.to(action),
        valid=~past & foreseen(action, executed.to(action)),
        future=future,
        at=at,
        future_valid=inside,
        more={key: value.to(action.device) for key, value in more.items()},
    )


def first_rows(batch: Batch, count: int) -> dict[str, Any]:
    """The first ``count`` rows of a batch."""
    return {k: v[:count] for k, v in batch.items() if isinstance(v, Tensor | list) and len(v)}


__all__ = ["ACTION", "EXECUTED", "Batch", "Pushes", "camera_key", "clip", "first_rows", "given"]
