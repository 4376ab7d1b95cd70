"""Finished episodes on their way from a worker to the store: one .npz file each, complete as soon as it exists.

Files rather than pipes, so that an episode that finished out of turn survives a crash of the parent.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.files import atomic_file
from worldmodel.schema import Episode

_RECORD = "__episode__"


def path_of(folder: Path, seed: int) -> Path:
    return folder / f"{seed}.npz"


def save(folder: Path, episode: Episode) -> None:
    """Write an episode, whole or not at all."""
    record = {"task": episode.task, "seed": episode.seed, "success": episode.success, "info": dict(episode.info)}
    contents: dict[str, Any] = {_RECORD: np.frombuffer(json.dumps(record).encode(), np.uint8), **episode.arrays}
    with atomic_file(path_of(folder, episode.seed)) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **contents)


def load(path: Path) -> Episode | None:
    """Read an episode back; None where the file is damaged (the zip format's checksums are compared)."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            record = json.loads(archive[_RECORD].tobytes())
            arrays = {key: archive[key] for key in archive.files if key != _RECORD}
        return Episode(arrays, **record)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None


def waiting(folder: Path) -> list[int]:
    """Seeds whose episodes wait here, ascending; leftovers of interrupted writes are removed."""
    for leftover in folder.glob("*.partial"):
        leftover.unlink(missing_ok=True)
    return sorted(int(path.stem) for path in folder.glob("*.npz"))
