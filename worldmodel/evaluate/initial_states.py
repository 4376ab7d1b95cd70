"""Fixed initial states: every policy is evaluated on the same ones, and none is trained on them.

A file (``.npz``, no pickle) holds the full simulator state of every start, not its seed, which means another scene in
another MuJoCo version; a SHA-256 of each state, and one over all of it.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from worldmodel.assets import asset
from worldmodel.damage import reading
from worldmodel.files import write_file
from worldmodel.sims.base import STATE, InitialState, state_hash
from worldmodel.sims.gymnasium.name import slug

FORMAT = "worldmodel.starts/1"
SPLITS = ("validation", "test")


class StartsError(ValueError):
    """A starts file that cannot be used, in one line that says what to do."""


@dataclass(frozen=True)
class Starts:
    """Fixed initial states of one task: ``states`` float64 (n, size); row i was drawn by env seed ``seeds[i]``.

    ``fingerprint`` says which scene and MuJoCo made them; ``refused`` counts draws that were already solved.
    kind: ``state``, or ``seed`` for envs that cannot be put into a state: their rows hold two SHA-256, byte by byte, of
    the numbers and of the pictures that a seed's episode begins with.
    """

    task: str
    states: Float64[np.ndarray, "n size"]
    seeds: tuple[int, ...]
    fingerprint: Mapping[str, Any]
    refused: int = 0
    kind: str = STATE
    hashes: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hashes", tuple(state_hash(state) for state in self.states))

    def __len__(self) -> int:
        return len(self.states)

    @property
    def sha256(self) -> str:
        """One hash over task, seeds, fingerprint and every state."""
        head = [self.task, list(self.seeds), dict(self.fingerprint), self.refused, list(self.hashes)]
        head += [] if self.kind == STATE else [self.kind]
        return hashlib.sha256(json.dumps(head, sort_keys=True).encode()).hexdigest()

    def first(self, episodes: int) -> list[InitialState]:
        """The first ``episodes`` starts: the same ones for every policy."""
        return [InitialState(i, self.seeds[i], self.states[i], self.hashes[i]) for i in range(episodes)]

    def save(self, path: Path) -> None:
        meta = {"format": FORMAT, "task": self.task, "refused": self.refused, "sha256": self.sha256}
        meta |= {} if self.kind == STATE else {"kind": self.kind}
        text = json.dumps({**meta, "fingerprint": dict(self.fingerprint)}, sort_keys=True)
        meta_bytes, states = np.frombuffer(text.encode(), np.uint8), self.states.astype("<f8")
        seeds, hashes = np.asarray(self.seeds, np.int64), np.asarray(self.hashes, "S64")
        buffer = io.BytesIO()
        np.savez_compressed(buffer, meta=meta_bytes, states=states, seeds=seeds, hashes=hashes)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> "Starts":
        """Read and verify. Raises StartsError where the file is missing, damaged, not ours, or was edited."""
        if not path.is_file():
            raise StartsError(f"no starts file {path}; make one: worldmodel starts task=... out={path}")
        with reading(f"starts file {path}", StartsError, "get or freeze it again"):
            starts, meta, hashes = _read(cls, path)
            format_, sealed = meta["format"], meta["sha256"]
        if format_ != FORMAT:
            raise StartsError(f"starts file {path} has format {format_!r}, expected {FORMAT!r}; freeze it again")
        wrong = [i for i, (is_, was) in enumerate(zip(starts.hashes, hashes, strict=False)) if is_ != was]
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if wrong[1:] else ""
            raise StartsError(f"starts file {path}: state {wrong[0]}{more} does not match its sha256; get it again")
        if len(hashes) != len(starts) or starts.sha256 != sealed:
            raise StartsError(f"starts file {path} was changed: it does not match its own sha256; get it again")
        return starts

    def check(self, path: Path, task: str, episodes: int, scene: str) -> None:
        """Refuse, with StartsError, starts of another task or scene (by its SHA-256), or fewer than wanted."""
        if self.task != task:
            raise StartsError(f"starts file {path} is for task {self.task!r}, expected {task!r}; use task={self.task}")
        if self.fingerprint.get("scene_sha256") != scene:
            theirs = str(self.fingerprint.get("scene_sha256"))[:12]
            raise StartsError(f"starts file {path} belongs to scene {theirs}, this is {scene[:12]}; freeze new starts")
        if not 0 < episodes <= len(self):
            advice = f"use episodes={len(self)} or freeze more"
            raise StartsError(f"episodes={episodes}: starts file {path} holds {len(self)}; {advice}")


def find(name: str, task: str) -> Path:
    """Path of the starts called ``name``: ``validation`` or ``test`` of a task, or a file's own path."""
    if name not in SPLITS:
        return Path(name)
    try:
        return asset(f"eval/starts/{slug(task)}.{name}.npz")
    except FileNotFoundError:
        advice = "give a file of `worldmodel starts`"
        raise StartsError(f"starts={name}: none are shipped for task {task!r}; {advice}") from None


def is_shipped(split: str, task: str) -> bool:
    """Whether there are starts of that split for this very task, options of its env included."""
    path = asset("eval/starts").joinpath(f"{slug(task)}.{split}.npz")
    return path.is_file() and Starts.load(path).task == task


def _read(cls: type[Starts], path: Path) -> tuple[Starts, dict[str, Any], list[str]]:
    if not zipfile.is_zipfile(path):
        raise ValueError("not a zip archive")
    with np.load(path, allow_pickle=False) as stored:
        meta = json.loads(stored["meta"].tobytes())
        states, seeds = np.asarray(stored["states"], np.float64), np.asarray(stored["seeds"], np.int64)
        hashes = [bytes(value).decode() for value in stored["hashes"]]
    if states.ndim != 2 or seeds.shape != states.shape[:1]:
        raise ValueError(f"states have shape {states.shape}, seeds {seeds.shape}")
    seeds_ = tuple(int(seed) for seed in seeds)
    facts = (dict(meta["fingerprint"]), int(meta["refused"]), str(meta.get("kind", STATE)))
    return cls(str(meta["task"]), states, seeds_, *facts), meta, hashes
