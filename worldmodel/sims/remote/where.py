"""Where the environments of other simulators lie, and the Python in them."""

from __future__ import annotations

import os
from pathlib import Path

from worldmodel.config import UserError

DONE = "worldmodel.json"  # Written last, with what was installed: an environment without it is made again


def home(name: str) -> Path:
    """Folder of a simulator's environment: ``$WORLDMODEL_ENVS/<name>``, else in the user's cache."""
    if chosen := os.environ.get("WORLDMODEL_ENVS"):
        return Path(chosen) / name
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "worldmodel" / "envs" / name


def python_of(name: str) -> Path:
    """The Python that runs a simulator. UserError, with the command to type, where it is not installed."""
    folder = home(name)
    if not (folder / DONE).exists():
        raise UserError(f"{name} is not installed in {folder}; run `worldmodel env install {name}`")
    return python_in(folder)


def python_in(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
