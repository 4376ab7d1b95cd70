"""Recordings as windows that fit a checkpoint."""

from __future__ import annotations

from worldmodel.config import UserError
from worldmodel.data.clips import Clips, ClipSpec
from worldmodel.data.source import open_source
from worldmodel.model import ModelConfig
from worldmodel.schema import ACTION


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
