"""A new model whose inputs, outputs and ranges come from a LeRobot data set or from features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from lerobot_policy_worldmodel.batches import camera_key
from lerobot_policy_worldmodel.configuration_worldmodel import WorldModelConfig
from worldmodel.data import EpisodeStore
from worldmodel.data.clips import Clips, ClipSpec
from worldmodel.data.source import open_sources
from worldmodel.model import ModelConfig
from worldmodel.schema import ACTION, IMAGES, LEROBOT
from worldmodel.train import setup


def open_data(meta: Any, size: int) -> EpisodeStore:
    """The data set of a ``LeRobotDatasetMetadata``, read as a store. Raises StoreError or ValueError, one line."""
    return open_sources(f"{LEROBOT}{Path(meta.root)}", size)[0]


def shape_of_data(config: WorldModelConfig, store: EpisodeStore) -> ModelConfig:
    """The model that fits a data set, decided as ``worldmodel train`` does. Raises ValueError, one line."""
    try:
        return setup.shape_of_data(replace(config.model, modalities={}, words=()), config.training(), [store])
    except ValueError as error:
        raise ValueError(str(error).replace("add size=", "add --policy.size=")) from None


def shape_of_features(config: WorldModelConfig) -> ModelConfig:
    """The model that an env's features ask for, where there is no data: it can only be looked at."""
    assert config.action_feature is not None and config.robot_state_feature is not None
    frames = config.image_features
    sides = {int(side) for feature in frames.values() for side in feature.shape[1:]}
    size = config.size or sides.pop()
    if sides or size % config.model.patch:
        raise ValueError(f"frames of {sorted({f.shape for f in frames.values()})}: add --policy.size=96")
    state, action = int(config.robot_state_feature.shape[0]), int(config.action_feature.shape[0])
    return replace(
        config.model,
        modalities={},
        words=(),
        cameras=tuple(key.removeprefix(IMAGES).removeprefix("observation.") for key in frames),
        size=size,
        action_dim=action,
        state_dim=state,
        relative=min(config.model.relative, state, action),
        **setup.duties(config.training()),
    )


def keep_features(config: WorldModelConfig) -> None:
    """Forget features that the model does not use (recorded beside ``action``, or the simulator's own state)."""
    given, wanted = dict(config.input_features or {}), set(config.model.states)
    wanted |= {camera_key(camera, config.image_features) for camera in config.model.cameras}
    config.input_features = {key: feature for key, feature in given.items() if key in wanted}
    config.output_features = {key: ft for key, ft in dict(config.output_features or {}).items() if key == ACTION}


def check(model: ModelConfig, store: EpisodeStore) -> None:
    """Say at once where a model that is trained further does not fit the data. ValueError, one line."""
    found = {"action_dim": store.row(ACTION)[0], "state_dim": sum(store.row(key)[0] for key in model.states)}
    for name, width in found.items():
        if getattr(model, name) != width:
            raise ValueError(f"{store.path} has {name}={width}, the policy was made for {getattr(model, name)}")
    if store.rate != model.control_hz:
        raise ValueError(f"{store.path} was recorded at {store.rate:g} Hz, the policy acts at {model.control_hz:g} Hz")


def windows(model: ModelConfig, store: EpisodeStore) -> Clips:
    """All windows of a data set, one per step, as in ``worldmodel train``."""
    return Clips([store], ClipSpec(model.cameras, model.chunk_size, model.tasks, model.states))
