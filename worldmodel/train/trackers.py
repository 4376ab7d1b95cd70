"""TensorBoard and Weights & Biases (`log.tracker`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worldmodel.train.log import Track


def tracker(kind: str, folder: Path, config: Mapping[str, Any]) -> Track | None:
    """A function that sends a line of metrics to TensorBoard or Weights & Biases; None for the local log alone.

    Raises ValueError where the package is not installed.
    """
    if kind == "none":
        return None
    try:
        if kind == "tensorboard":
            from torch.utils.tensorboard import SummaryWriter

            writer = SummaryWriter(str(folder / "tensorboard"))

            def to_tensorboard(row: Mapping[str, float], step: int) -> None:
                for name, value in row.items():
                    writer.add_scalar(name, value, step)

            return to_tensorboard
        import wandb
    except ImportError:
        message = f"log.tracker={kind} needs a package that is not installed: pip install 'worldmodel[track]'"
        raise ValueError(message) from None
    try:
        run = wandb.init(project="worldmodel", dir=str(folder), config=dict(config), resume="allow")
    except wandb.Error as error:
        raise ValueError(
            f"log.tracker=wandb: {error}; or set WANDB_MODE=offline to log into the run's folder"
        ) from None
    return lambda row, step: run.log(dict(row), step=step)
