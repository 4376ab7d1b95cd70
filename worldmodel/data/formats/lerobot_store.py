"""A LeRobot data set read as if it were a store: windows, training and conversion need nothing else."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.data.formats.conventions import relative_dimensions
from worldmodel.data.formats.lerobot_data import REGULAR, Recording
from worldmodel.data.layout import StoreError, digest
from worldmodel.data.store import EpisodeStore
from worldmodel.data.views import CachedView, ComputedView, View
from worldmodel.schema import ACTION, CONTROL_HZ, IMAGES, STATE, Episode, image_key

SIDECAR = "worldmodel.json"
"""In ``meta``: what a store knows and LeRobot has no place for (seeds, success, info, provenance)."""


class LeRobotStore(EpisodeStore):
    """A LeRobot data set (v3) read in place. Numbers are in memory, frames are decoded on access.

    Names become ours: a camera ``observation.image`` is ``observation.images.image`` here; ``names`` maps ours to
    theirs. ``timestamp`` is an array only where steps are not evenly spaced, ``task_index`` only where an episode has
    several tasks (for windows its first one counts). ``left_out`` lists what has no place here: depth and language.

    Where the data set has no sidecar of ours, seeds are episode numbers and an episode succeeded unless a column
    ``next.success`` says otherwise. ``checksums`` are zero: LeRobot keeps none.

    Args:
        source: folder, or OWNER/NAME on a hub. without: columns to ignore, by LeRobot's name.
    """

    def __init__(self, source: str, without: Sequence[str] = ()) -> None:
        recording = self.recording = Recording(source)
        if unknown := [key for key in without if key not in recording.features]:
            raise StoreError(f"{source} has no column {unknown[0]!r}; it has {', '.join(recording.features)}")
        self.names: dict[str, str] = {}
        self.left_out: list[str] = []
        self.texts: list[str] = []
        sidecar = read_sidecar(recording)
        arrays = self._arrays(without, sidecar.get("arrays", {}))
        episodes = sidecar.get("episodes", [])
        first = np.concatenate([[0], recording.ends[:-1]])
        task = recording.column("task_index").reshape(-1)
        spacing = np.arange(recording.steps) - np.repeat(first, np.diff(recording.ends, prepend=0))
        if (recording.timestamps != (spacing / recording.fps).astype(np.float32)).any():
            arrays["timestamp"] = {"row": [], "dtype": "float32"}
        if (task != np.repeat(task[first], np.diff(recording.ends, prepend=0))).any():
            arrays["task_index"] = {"row": [], "dtype": "int64"}
        index = {
            "ends": recording.ends,
            "seeds": np.array([e["seed"] for e in episodes] or range(recording.episodes), np.int64),
            "success": np.array([e["success"] for e in episodes] or self._successes(first), bool),
            "task_index": task[first].astype(np.int32),
            "checksums": np.zeros((recording.episodes, len(arrays)), np.uint64),
        }
        infos = [e["info"] for e in episodes]
        meta = {
            "arrays": dict(sorted(arrays.items())),
            "tasks": list(recording.tasks),
            "episodes": recording.episodes,
            "steps": recording.steps,
            "fingerprint": fingerprint_of(recording.root),
            "dropped_seeds": sidecar.get("dropped_seeds", []),
            "info": infos if any(infos) else [],
            "provenance": {},
        }
        super().__init__(recording.root, meta, index)
        meta["provenance"] = self._provenance(sidecar)

    def array(self, key: str) -> View:
        if key not in self.meta["arrays"]:
            raise KeyError(f"no array {key!r} in {self.path}; it has {', '.join(self.keys)}")
        if key not in self._views:
            theirs, shape = self.names.get(key, key), (self.steps, *self.row(key))
            if key.startswith(IMAGES):
                frames = self.recording.frames
                view: View = ComputedView(shape, self.dtype(key), lambda rows: frames(theirs, rows), f"reading {key}")
            else:
                view = CachedView(self.recording.column(theirs).reshape(shape))
            self._views[key] = view
        return self._views[key]

    def episode(self, episode: int) -> Episode:
        """One whole recording; columns of text are in its info."""
        found, (start, stop) = super().episode(episode), self.span(episode)
        texts = {key: self.recording.texts(key)[start:stop] for key in self.texts}
        return replace(found, info={**found.info, "texts": texts}) if texts else found

    def _arrays(self, without: Sequence[str], ours: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """What each column becomes; fills ``names``, ``texts`` and ``left_out``."""
        arrays: dict[str, dict[str, Any]] = {}
        for key, feature in self.recording.features.items():
            kind, shape = feature["dtype"], list(feature["shape"])
            if key in REGULAR or key in without:
                continue
            if kind in ("image", "video"):
                if key in self.recording.depth or 3 not in (shape[0], shape[-1]):
                    self.left_out.append(key)
                    continue
                name = key if key.startswith(IMAGES) else image_key(key.removeprefix("observation."))
                frame = self.recording.frames(key, np.zeros(1, np.int64))  # its description may be of either order
                arrays[name] = {"row": list(frame.shape[1:]), "dtype": "uint8"}
                self.names |= {name: key} if name != key else {}
            elif kind == "string":
                self.texts.append(key)
            elif kind == "language" or key.startswith(IMAGES):
                self.left_out.append(key)
            else:
                row = ours[key]["row"] if key in ours else shape
                arrays[key] = {"row": row, "dtype": np.dtype(kind).name}
        return arrays

    def _successes(self, first: np.ndarray) -> list[bool]:
        column = "next.success"
        if column not in self.recording.features:
            return [True] * len(first)
        return [bool(v) for v in np.maximum.reduceat(self.recording.column(column).reshape(-1).astype(bool), first)]

    def _provenance(self, sidecar: Mapping[str, Any]) -> dict[str, Any]:
        """Where the data came from: our own record, else LeRobot's and what follows from the numbers."""
        recording = self.recording
        if sidecar:
            known = dict(sidecar["provenance"])
            return known if float(known.get("rate", CONTROL_HZ)) == recording.fps else known | {"rate": recording.fps}
        facts = {"format": recording.version, "robot": recording.robot, "names": self.names}
        relative = 0
        if ACTION in self.keys and STATE in self.keys:
            relative = relative_dimensions(self.array(ACTION)[:], self.array(STATE)[:])
        licence = {"licence": recording.licence} if recording.licence else {}
        return {"source": recording.source, **licence, "rate": recording.fps, "relative": relative, "lerobot": facts}


def read_sidecar(recording: Recording) -> dict[str, Any]:
    """What a conversion from a store left beside the data; empty where there is none, or the episodes are others."""
    path = recording.root / "meta" / SIDECAR
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        lengths = [episode["length"] for episode in content["episodes"]]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return content if np.cumsum(lengths).tolist() == recording.ends.tolist() else {}


def fingerprint_of(root: Path) -> str:
    """SHA-256 that names the content by its description (statistics included) and the size of every file of data."""
    files: dict[str, Any] = {}
    for folder in ("meta", "data", "videos"):
        for file in sorted((root / folder).rglob("*")):
            if file.is_file():
                content = file.read_bytes() if folder == "meta" else b""
                files[str(file.relative_to(root))] = [file.stat().st_size, hashlib.sha256(content).hexdigest()]
    return digest(files)
