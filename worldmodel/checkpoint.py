"""Checkpoints: safetensors and JSON, never pickle. A model folder holds ``model.safetensors`` and ``model.json``."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from worldmodel import legacy
from worldmodel.backbone import BackboneConfig
from worldmodel.damage import reading
from worldmodel.files import atomic_folder
from worldmodel.model import ModelConfig, WorldModel
from worldmodel.model_card import (
    AGAIN,
    CARD,
    FORMAT,
    SUM,
    WEIGHTS,
    CheckpointError,
    card,
    provenance_of,
    read_card,
    resolve,
    sum_of,
    trained_modes,
)

__all__ = [
    "CARD", "FORMAT", "WEIGHTS", "CheckpointError", "card", "config_of", "load", "not_finite", "provenance_of",
    "read_folder", "resolve", "save", "trained_modes", "write_folder",
]  # fmt: skip


def save(model: WorldModel, folder: Path, card: dict[str, Any], dtype: torch.dtype = torch.float32) -> Path:
    """Write a model folder atomically (temporary name, fsync, rename); replaces an earlier one.

    card: what made these weights (data, steps, hardware, evaluations); stored under ``provenance`` beside the config.
    Parameters are stored in ``dtype``, buffers (scaling ranges) in float32. Training's own heads are left out.
    """
    parameters = {name for name, _ in model.named_parameters()}
    tensors = {
        name: (value.to(dtype) if name in parameters else value).contiguous().cpu()
        for name, value in model.state_dict().items()
        if not name.startswith(("projector.", "external."))
    }
    whole = {"format": FORMAT, "config": asdict(model.config), "provenance": card}
    return write_folder(folder, tensors, whole, WEIGHTS, CARD)


def write_folder(folder: Path, tensors: dict[str, Tensor], card: dict[str, Any], weights: str, name: str) -> Path:
    """One safetensors file and one JSON file that carries its SHA-256, under a temporary name, then renamed.

    Raises OSError, in one line, where it cannot be written (a full disk); what was saved before stays as it was.
    """
    try:
        with atomic_folder(folder) as fresh:
            fresh.mkdir()
            save_file(tensors, fresh / weights)
            card = json.loads(json.dumps(card | {"sha256": hashlib.sha256((fresh / weights).read_bytes()).hexdigest()}))
            (fresh / name).write_text(json.dumps(card | {SUM: sum_of(card)}, indent=1) + "\n")
    except (OSError, SafetensorError) as error:
        free = shutil.disk_usage(folder.parent).free // 2**20 if folder.parent.exists() else 0
        reason = f"{' '.join(str(error).split())}; {free} MiB free"
        raise OSError(f"cannot write {folder} ({reason}); earlier saves are whole, free space and go on") from None
    return folder


def read_folder(folder: Path, weights: str, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and card of a folder, checked against the card's SHA-256. Raises CheckpointError if damaged."""
    try:
        card = read_card(folder, name)
        found = hashlib.sha256((folder / weights).read_bytes()).hexdigest()
    except FileNotFoundError as error:
        raise CheckpointError(f"checkpoint {folder}: {Path(error.filename).name} is missing; copy it again") from None
    if found != card.get("sha256"):
        hashes = f"sha256 {found[:12]}, expected {str(card.get('sha256'))[:12]}"
        raise CheckpointError(f"checkpoint {folder}: {weights} is damaged ({hashes}); copy it again")
    try:
        return load_file(folder / weights), card
    except SafetensorError as error:
        reason = " ".join(str(error).split())[:120]
        raise CheckpointError(f"checkpoint {folder}: {weights} cannot be read ({reason}); copy it again") from None


def load(name: str | Path) -> WorldModel:
    """The model, float32, in evaluation mode. CheckpointError for a missing, damaged or foreign checkpoint."""
    folder = resolve(name)
    tensors, made = read_folder(folder, WEIGHTS, CARD)
    if broken := not_finite(tensors):
        raise CheckpointError(f"checkpoint {folder}: {broken} is not finite, so its training diverged; train again")
    with reading(f"checkpoint {folder}: its config", CheckpointError, AGAIN):
        config = config_of(made["config"])
        with torch.device("meta"):  # nothing is allocated before everything is known to fit
            shapes = {name: value.shape for name, value in WorldModel(config).state_dict().items()}
    if wrong := sorted(n for n in {*shapes, *tensors} if n not in tensors or tensors[n].shape != shapes.get(n)):
        raise CheckpointError(f"checkpoint {folder}: weights do not fit its config ({wrong[0][:120]}); {AGAIN}")
    model = WorldModel(config)
    model.load_state_dict({n: value.float() if value.is_floating_point() else value for n, value in tensors.items()})
    return model.eval()


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Name of a tensor that holds a NaN or an infinite number; None where all are finite."""
    return next((name for name, value in tensors.items() if not bool(torch.isfinite(value).all())), None)


def config_of(values: dict[str, Any]) -> ModelConfig:
    """A ModelConfig from its JSON form, of this or an older version."""
    values = legacy.saved("model", values)
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k != "backbone"}
    return ModelConfig(backbone=BackboneConfig(**values["backbone"]), **plain)
