"""Collecting from Python: `worldmodel.collect(task=..., episodes=..., out=...)`."""

from pathlib import Path
from typing import Any

from worldmodel import settings
from worldmodel.collect.config import CollectConfig


def collect(config: CollectConfig | None = None, **options: Any) -> Path:
    """Record an expert's episodes, as ``worldmodel collect`` does; returns the store's folder, for `open_data`.

    options: those of the command. Raises UserError or ValueError, one line, for what the command refuses, and
    KeyboardInterrupt where it was interrupted.
    """
    from worldmodel.collect.command import collect as run

    settled = config or settings.from_options("collect", CollectConfig, options)
    if run(settled):
        raise KeyboardInterrupt
    return Path(settled.out)
