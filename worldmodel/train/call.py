"""Training from Python: `worldmodel.train(data=..., out=..., steps=...)`."""

from pathlib import Path
from typing import Any

from worldmodel import settings
from worldmodel.train.config import TrainConfig


def train(config: TrainConfig | None = None, **options: Any) -> Path:
    """Train a world model, or go on with one, as ``worldmodel train`` does; returns the run's folder, for `load`.

    options: those of the command (``model="nano"``, ``data=...``, ``out=...``), sections as dictionaries
    (``optimiser={"lr": 1e-3}``). Raises UserError or ValueError, one line, for what the command refuses.
    """
    from worldmodel.train.loop import train as run

    settled = config or settings.from_options("train", TrainConfig, options)
    run(settled)
    return Path(settled.out)
