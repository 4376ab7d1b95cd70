"""A small model and small recordings that any module's test can use."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldmodel.backbone import BackboneConfig
from worldmodel.data import EpisodeStore
from worldmodel.model import Given, ModelConfig, WorldModel
from worldmodel.schema import ACTION, AUDIO, EXECUTED, STATE, Clip, Episode, image_key, segmentation_key
from worldmodel.train.config import LogConfig, TrainConfig, ValidationConfig

CONFIG = ModelConfig(backbone=BackboneConfig(width=32, depth=2, heads=2), size=32)


def small_model(projector: bool = False, external: int = 0) -> WorldModel:
    """A model off its zero initialisation, the same at every call."""
    torch.manual_seed(0)
    model = WorldModel(CONFIG, projector, external)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model.eval()


def dreaming_model(window: int = 3) -> WorldModel:
    """A small model that streams, off its zero initialisation, the same at every call."""
    torch.manual_seed(0)
    model = WorldModel(replace(CONFIG, window=window))
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model.eval()


def small_given(batch: int = 2) -> Given:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (batch, 2, 32, 32, 3), dtype=torch.uint8, generator=generator)
    return Given(images, torch.rand(batch, 4, generator=generator), torch.zeros(batch, dtype=torch.int64))


def small_clip(batch: int = 2, frames: bool = True) -> Clip:
    given, chunk = small_given(batch), torch.rand(batch, 16, 4, generator=torch.Generator().manual_seed(2))
    valid = torch.ones(batch, 16, dtype=torch.bool)
    clip = Clip(given.images, given.state, given.task, chunk, chunk.clone(), valid)
    if not frames:
        return clip
    future = torch.randint(0, 256, (batch, 2, 2, 32, 32, 3), dtype=torch.uint8)
    at = torch.tensor([[3, 11]]).repeat(batch, 1)
    return replace(clip, future=future, at=at, future_valid=torch.ones(batch, 2, dtype=torch.bool))


def small_store(
    path: Path,
    lengths: tuple[int, ...] = (20, 13),
    task: str = "place_can",
    sound: bool = False,
    parts: bool = False,
    rate: int | None = None,
    behaviours: tuple[str, ...] = (),
    noise: float = 0.0,
) -> EpisodeStore:
    """A sealed store whose numbers say where they come from: state[0] counts steps over all episodes.

    So does the loudness of its ``sound``, in hundredths. With ``parts`` a corner of each frame is gripper and object.
    ``behaviours``: who acted in each episode; recordings do not tell where there are none. ``noise``: standard
    deviation of white noise on every action that is carried out.
    """
    writer = EpisodeStore.create(path, {"licence": "Apache-2.0"} | ({} if rate is None else {"rate": rate}))
    first = 0
    for seed, length in enumerate(lengths):
        count = np.arange(first, first + length, dtype=np.float32)
        state = np.stack([count, count / 10, count * 0, count * 0], axis=-1)
        action = np.stack([count + 1, count, count * 0, np.where(count % 2 < 1, 1, -1)], axis=-1).astype(np.float32)
        executed = action.copy()
        executed += noise * np.random.default_rng(seed).normal(size=action.shape).astype(np.float32)
        executed[5] += 0.01 + 30 * noise  # a push at the episode's sixth step
        frames = np.broadcast_to((count % 256).astype(np.uint8)[:, None, None, None], (length, 32, 32, 3)).copy()
        arrays = {image_key("scene"): frames, image_key("wrist"): 255 - frames, STATE: state}
        arrays |= {ACTION: action, EXECUTED: executed}
        if sound:
            arrays[AUDIO] = np.sin(np.arange(400, dtype=np.float32)) * (count[:, None] + 1) / 100
        if parts:
            whose = np.zeros((length, 32, 32), np.uint8)
            whose[:, :8, :8], whose[:, 8:12, :8] = 1, 2
            arrays |= {segmentation_key("scene"): whose, segmentation_key("wrist"): whose}
        info = {"behaviour": behaviours[seed]} if behaviours else {}
        writer.append(Episode(arrays, task, seed, True, info))
        first += length
    writer.seal()
    return EpisodeStore.open(path)


def small_run(folder: Path, **changes: Any) -> TrainConfig:
    """A run of four steps on a `small_store`, in ``folder``, that saves after two; ``changes`` of its config."""
    small_store(folder / "data")
    run = TrainConfig(
        data=str(folder / "data"),
        out=str(folder / "run"),
        steps=4,
        batch=4,
        holdout=0.5,
        compile=False,
        save_every=2,
        backbone=BackboneConfig(width=32, depth=2, heads=2),
        log=LogConfig(every=1),
        validation=ValidationConfig(every=0),
    )
    return replace(run, **changes)
