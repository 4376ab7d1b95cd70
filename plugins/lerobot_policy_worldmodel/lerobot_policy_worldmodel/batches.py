"""LeRobot's batches as worldmodel's: tensors by its keys in, a `Given` to act on or a `Clip` to learn from out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from worldmodel.data.clips import Clips, labels, tolerance
from worldmodel.data.source import fit
from worldmodel.data.store import EpisodeStore
from worldmodel.model import Given, ModelConfig, WorldModel
from worldmodel.schema import ACTION, EXECUTED, STATE, Clip, image_key
from worldmodel.tokens.task import SENTENCE, index_of
from worldmodel.train.step_rng import IMITATES, BatchPlan

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
    """The frames of all cameras, in the model's order; a batch without a time axis has T = 1."""
    each = []
    for camera in config.cameras:
        frames = batch[camera_key(camera, batch)]
        each.append(pixels(frames if frames.ndim == 5 else frames[:, None], config.size))
    return torch.stack(each, dim=2)


def state(batch: Batch, config: ModelConfig) -> Float[Tensor, "B S"]:
    """The state vectors at the observation, one after another."""
    vector = _vector(batch, config)
    return vector if vector.ndim == 2 else vector[:, 0]


def _vector(batch: Batch, config: ModelConfig) -> Float[Tensor, "B *T S"]:
    """The concatenated state vectors at every time step of the batch."""
    if missing := [key for key in config.states if key not in batch]:
        raise ValueError(f"the policy needs {missing[0]!r}; there is {', '.join(batch)}")
    vector = torch.cat([batch[key].float() for key in config.states], dim=-1)
    if vector.shape[-1] != config.state_dim:
        raise ValueError(f"the policy needs a state of {config.state_dim} numbers, got {vector.shape[-1]}")
    return vector


def instructions(batch: Batch, model: WorldModel, fallback: str | None) -> tuple[Int[Tensor, " B"], dict[str, Tensor]]:
    """Each row's task, and the sentence for a model with language.

    A batch's ``task`` is text; optional for a model of one task, any sentence for a model with language.
    Raises ValueError, one line, for a task that the model does not know.
    """
    tasks, rows = model.config.tasks, len(next(value for value in batch.values() if isinstance(value, Tensor)))
    task_text = batch.get("task") or [""] * rows
    texts = [text or fallback or "" for text in ([task_text] * rows if isinstance(task_text, str) else task_text)]
    if model.config.words:
        language: Any = model.instruction
        usual = language.usual.cpu().numpy()
        words = [usual[tasks.index(t)] if t in tasks else language.encode(t or tasks[0]) for t in texts]
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
    task, more = instructions(batch, model, fallback)
    device = vector.device
    seen = images(batch, model.config)[:, 0]
    return Given(seen, vector, task.to(device), more={key: value.to(device) for key, value in more.items()})


@dataclass(frozen=True)
class StepTable:
    """What LeRobot's batches leave out of each of a data set's T steps, looked up by ``index``.

    ends: where its episodes end, int64 (E,). executed: the executed actions, float32 (T, A), None where
    not recorded. tolerance: how far these may lie from what was wanted, float32 (A,), as `worldmodel.data.clips`
    says. demonstrated: bool (T,), whether the step is worth imitating.
    """

    ends: np.ndarray
    executed: np.ndarray | None
    tolerance: np.ndarray
    demonstrated: np.ndarray

    @classmethod
    def of(cls, store: EpisodeStore, clips: Clips) -> StepTable:
        """Of all steps of a data set; ``clips`` are all its windows."""
        executed = store.array(EXECUTED)[:].astype(np.float32) if EXECUTED in store.keys else None
        return cls(store.ends, executed, tolerance(store), clips.demonstrated)

    def chunk(self, index: Int[np.ndarray, " B"], chunk_size: int) -> Float[np.ndarray, "B H A"] | None:
        """The executed chunk from each row on, its episode's last one repeated past the end."""
        if self.executed is None:
            return None
        end = self.ends[np.searchsorted(self.ends, index, side="right")]
        chunk: np.ndarray = self.executed[np.minimum(index[:, None] + np.arange(chunk_size), end[:, None] - 1)]
        return chunk


def clip(batch: Batch, model: WorldModel, plan: BatchPlan, steps: Sequence[int], recorded: StepTable | None) -> Clip:
    """The arrays of ``plan``, out of a batch with the frames and states of the observation and ``steps``.

    The actions that teach, and which of them do, are decided by `worldmodel.data.clips.labels`, as for our own stores.
    """
    batch = first_rows(batch, plan.rows)
    task, more = instructions(batch, model, None)
    wanted = batch[ACTION].float().cpu().numpy()
    past = np.zeros(wanted.shape[:2], bool)
    if f"{ACTION}_is_pad" in batch:
        past = batch[f"{ACTION}_is_pad"].cpu().numpy()
    executed, limit = None, np.full(wanted.shape[-1:], 1e-6, np.float32)
    if recorded is not None:
        index = batch["index"].reshape(-1).cpu().numpy()
        executed, limit = recorded.chunk(index, wanted.shape[1]), recorded.tolerance
    executed = wanted if executed is None else executed
    action, valid = labels(wanted, executed, past, limit, plan.executed)
    if recorded is not None and plan.mode in IMITATES:
        valid = valid & recorded.demonstrated[index][:, None]
    frames = images(batch, model.config)
    seen = Clip(frames[:, 0], state(batch, model.config), task, action, executed, valid, more=more)
    return seen if plan.at is None else _with_later(seen, batch, frames, plan, steps, model.config)


def _with_later(
    seen: Clip, batch: Batch, frames: Tensor, plan: BatchPlan, steps: Sequence[int], config: ModelConfig
) -> Clip:
    """The same with the frames of ``plan.at``, and the states of these steps where the plan has them."""
    assert plan.at is not None
    row, pick = torch.arange(len(frames))[:, None], torch.as_tensor(np.searchsorted(steps, plan.at)) + 1
    key = f"{camera_key(config.cameras[0], batch)}_is_pad"
    inside = ~batch[key][row, pick] if key in batch else torch.ones(pick.shape, dtype=torch.bool)
    later = {STATE: _vector(batch, config)[row, pick]} if plan.states else {}
    return replace(seen, future=frames[row, pick], at=plan.at, future_valid=inside, more_future=later)


def first_rows(batch: Batch, count: int) -> dict[str, Any]:
    """The first ``count`` rows of a batch."""
    return {k: v[:count] for k, v in batch.items() if isinstance(v, Tensor | list) and len(v)}
