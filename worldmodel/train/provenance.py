"""What made a checkpoint's weights: command, code, data, hardware. Written into every card of a run."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch

from worldmodel import __version__, checkpoint
from worldmodel.data.card import origin
from worldmodel.data.features import recipe_of
from worldmodel.data.store import EpisodeStore
from worldmodel.revision import revision
from worldmodel.train.config import TrainConfig


def provenance(
    config: TrainConfig, stores: Sequence[EpisodeStore], features: Sequence[EpisodeStore], device: torch.device
) -> dict[str, Any]:
    """The record of a run, as JSON. Raises StoreError for a data card and CheckpointError for ``init`` unreadable."""
    return {
        "command": "worldmodel " + " ".join(sys.argv[1:]),
        "version": __version__,
        "code": revision(),
        "data": [origin(store) for store in stores],
        "features": [recipe_of(f) for f in features],
        "init": checkpoint.card(config.init) if config.init else None,
        "hardware": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, {device.type}",
        "torch": torch.__version__,
        "train": asdict(config),
    }
