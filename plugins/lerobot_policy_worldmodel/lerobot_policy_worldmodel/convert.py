"""Between worldmodel's model folders and LeRobot's pretrained folders, both ways, every tensor bit for bit."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from lerobot.configs import FeatureType, PolicyFeature
from lerobot.configs.policies import PreTrainedConfig
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lerobot_policy_worldmodel.configuration_worldmodel import WorldModelConfig
from lerobot_policy_worldmodel.modeling_worldmodel import AVERAGE
from lerobot_policy_worldmodel.processor_worldmodel import make_worldmodel_pre_post_processors
from worldmodel import __version__, checkpoint, legacy
from worldmodel.checkpoint import CheckpointError
from worldmodel.data.card import origin
from worldmodel.data.source import open_source
from worldmodel.files import atomic_folder
from worldmodel.model import ModelConfig
from worldmodel.schema import ACTION, LEROBOT, STATE, image_key

WEIGHTS, OURS, TRAINED = "model.safetensors", "worldmodel.json", "train_config.json"
"""Files of a pretrained folder; `OURS` holds the model folder's own card, for the way back."""
HEADS = ("projector.", "external.")
"""What only training needs; model folders do not hold it."""


def to_lerobot(source: str, out: Path) -> None:
    """Write the pretrained folder of a model folder (or ``shipped``, or a run); ``out`` must not exist yet.

    Raises CheckpointError, one line, where the source is missing or damaged, or LeRobot could not run it.
    """
    checkpoint.load(source)  # says in one line what is wrong with it
    tensors, card = checkpoint.read_folder(checkpoint.resolve(source), checkpoint.WEIGHTS, checkpoint.CARD)
    model = checkpoint.config_of(card["config"])
    if model.modalities or model.states != (STATE,) or not model.cameras:
        what = "has audio" if model.modalities else "reads the simulator's own state"
        raise CheckpointError(f"checkpoint {source}: it {what}, for which LeRobot's envs and robots have no place")
    config = config_for(model, card.get("provenance", {}).get("train") or {})
    with atomic_folder(out) as partial:
        partial.mkdir()
        save_file({AVERAGE + name: value for name, value in tensors.items()}, partial / WEIGHTS)
        config.save_pretrained(partial)
        for pipeline in make_worldmodel_pre_post_processors(config):
            pipeline.save_pretrained(partial)
        ours = {"weights": _sha256(partial / WEIGHTS), "card": card}
        (partial / OURS).write_text(json.dumps(ours, indent=1) + "\n")


def to_worldmodel(source: Path, out: Path) -> None:
    """Write the model folder of a pretrained folder: its averaged weights, as ``worldmodel train`` exports them.

    The card is the one that the weights came with, where `to_lerobot` made the folder and they are unchanged;
    else it describes LeRobot's training. Raises CheckpointError, one line, where the folder is no policy of ours.
    """
    config = PreTrainedConfig.from_pretrained(source)
    if not isinstance(config, WorldModelConfig):
        raise CheckpointError(f"{source}: a policy of type {config.type}, expected worldmodel")
    try:
        tensors = load_file(source / WEIGHTS)
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{source}: {WEIGHTS} cannot be read ({reason}); copy it again") from None
    average = {name.removeprefix(AVERAGE): value for name, value in tensors.items() if name.startswith(AVERAGE)}
    kept = {name: value for name, value in average.items() if not name.startswith(HEADS)}
    card = _card(source, config, tensors)
    checkpoint.write_folder(out, kept, card, checkpoint.WEIGHTS, checkpoint.CARD)
    checkpoint.load(out)


def config_for(model: ModelConfig, trained: Mapping[str, Any]) -> WorldModelConfig:
    """LeRobot's config of a finished model; ``trained``: the run's config from its card, to train it further alike."""
    config = WorldModelConfig(model=model, device="cpu", fitted=True, push_to_hub=False)
    trained = legacy.saved("train", trained)
    for name in ("modes", "rollout", "objective", "noise", "augment", "optimiser"):
        setattr(config, name, _filled(getattr(config, name), trained.get(name) or {}))
    if config.objective.spec.external:  # features of a frozen encoder are not to be had here
        config.objective = replace(config.objective, name="flow")
    frame = PolicyFeature(FeatureType.VISUAL, (3, model.size, model.size))
    config.input_features = {image_key(camera): frame for camera in model.cameras}
    config.input_features[STATE] = PolicyFeature(FeatureType.STATE, (model.state_dim,))
    config.output_features = {ACTION: PolicyFeature(FeatureType.ACTION, (model.action_dim,))}
    return config


def _filled(record: Any, values: Mapping[str, Any]) -> Any:
    """A frozen record with those of its fields replaced that ``values`` knows, nested ones too."""
    known = {field.name: values[field.name] for field in fields(record) if field.name in values}
    inner = {name: getattr(record, name) for name in known}
    return replace(record, **{n: _filled(inner[n], v) if is_dataclass(inner[n]) else v for n, v in known.items()})


def _card(source: Path, config: WorldModelConfig, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The model folder's card; its hash of the weights is added when they are written."""
    try:
        ours: dict[str, Any] = json.loads((source / OURS).read_text())
        card: dict[str, Any] = dict(ours["card"])
        if ours["weights"] == _sha256(source / WEIGHTS) and checkpoint.config_of(card["config"]) == config.model:
            return card
    except (OSError, ValueError, KeyError, TypeError):
        pass  # trained by LeRobot, or changed since
    try:
        trained = json.loads((source / TRAINED).read_text())
    except (OSError, ValueError):
        trained = None
    made = {
        "command": "lerobot-train" if trained else None,
        "version": __version__,
        "lerobot": importlib.metadata.version("lerobot"),
        "steps": int(tensors["updates"]) if "updates" in tensors else None,
        "data": _data((trained or {}).get("dataset") or {}),
        "lerobot_train": trained,
    }
    return {"format": checkpoint.FORMAT, "config": asdict(config.model), "provenance": made}


def _data(dataset: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Where the data set lies that LeRobot trained on, its fingerprint, provenance and card; else nothing is known."""
    root = dataset.get("root")
    if not root or not Path(root).is_dir():
        return []
    try:
        return [origin(open_source(f"{LEROBOT}{root}"))]
    except (ValueError, OSError):  # changed since, or spoiled
        return []


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
