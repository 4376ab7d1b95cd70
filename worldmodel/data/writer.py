"""The writing half of a store: append episodes, survive any interruption, seal once.

Until it is sealed, ``DIR/unsealed/journal.jsonl`` is the truth: an episode exists once its line is on disk, and the
line is written after the episode's data. Anything past the last whole line is overwritten on resume.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from worldmodel.data import layout
from worldmodel.data.blocks import BlockReader, BlockWriter
from worldmodel.data.layout import StoreError, checksum
from worldmodel.experience import Episode


class StoreWriter:
    """Appends episodes to an unsealed store. Make one with ``create`` or ``resume``; use as a context manager.

    ``records`` holds one JSON record per stored episode, ``dropped`` the seeds that were tried and not kept, ``cut``
    the number of journalled episodes that a resume found damaged and gave up.
    """

    def __init__(self, path: Path, block: int, provenance: Mapping[str, Any]) -> None:
        self.path, self.block, self.provenance = path, block, dict(provenance)
        self.spec: dict[str, dict[str, Any]] = {}
        self.records: list[dict[str, Any]] = []
        self.dropped: list[int] = []
        self.cut = 0
        self._arrays: dict[str, BlockWriter] = {}
        self._lock = _lock(path)
        self._journal = open(path / layout.JOURNAL, "ab")  # noqa: SIM115  # closed by close()

    @classmethod
    def create(cls, path: str | Path, provenance: Mapping[str, Any], block: int = layout.BLOCK_STEPS) -> StoreWriter:
        """Start a store in a folder that is absent or empty; StoreError where anything is in the way.

        ``provenance`` is a JSON record; its ``recipe`` says what decides the content and must agree on resume.
        """
        path = Path(path)
        if path.exists() and (not path.is_dir() or any(name.name != layout.UNSEALED for name in path.iterdir())):
            raise StoreError(
                f"{path} already exists and is not an unfinished store; choose another folder or remove it"
            )
        if cls.resumable(path):
            raise StoreError(f"{path} holds an unfinished store; resume it, choose another folder or remove it")
        (path / layout.UNSEALED).mkdir(parents=True, exist_ok=True)
        writer = cls(path, block, provenance)
        os.truncate(path / layout.JOURNAL, 0)  # what a crash in this very function left is half a line
        writer._record({"header": {"format": layout.FORMAT, "block": block, "provenance": writer.provenance}})
        layout.write_group(path, {"format": layout.FORMAT, "sealed": False})
        return writer

    @staticmethod
    def resumable(path: str | Path) -> bool:
        """Whether an interrupted store with anything worth keeping is there."""
        path = Path(path)
        journal = path / layout.JOURNAL
        return journal.exists() and (bool(_whole_lines(journal)[0]) or (path / layout.GROUP).exists())

    @classmethod
    def resume(cls, path: str | Path) -> StoreWriter:
        """Go on with an interrupted store: keeps every episode whose data is intact, up to the first that is not."""
        path = Path(path)
        journal = path / layout.JOURNAL
        if not journal.exists():
            raise StoreError(f"nothing to resume at {path}")
        lines, whole_bytes = _whole_lines(journal)
        try:
            header = lines[0]["header"]
            writer = cls(path, header["block"], header["provenance"])
        except (IndexError, KeyError):
            raise StoreError(f"{journal} lost its first line; remove {path} and collect again") from None
        os.truncate(journal, whole_bytes)
        if not (path / layout.GROUP).exists():
            layout.write_group(path, {"format": layout.FORMAT, "sealed": False})
        writer._replay(lines[1:], journal)
        return writer

    def append(self, episode: Episode) -> None:
        """Store one episode. It is safe against a crash when this returns; if it raises, it was not stored.

        Raises StoreError where keys, shapes or dtypes differ from the first episode's; OSError on a full disk.
        """
        arrays = {key: np.asarray(value) for key, value in sorted(episode.arrays.items())}
        spec = {key: {"row": list(value.shape[1:]), "dtype": value.dtype.name} for key, value in arrays.items()}
        if not self.spec:
            self._begin(spec)
        elif spec != self.spec:
            wrong = sorted(key for key in spec.keys() | self.spec.keys() if spec.get(key) != self.spec.get(key))
            raise StoreError(
                f"episode of seed {episode.seed} does not fit the store: {wrong[0]!r} is {spec.get(wrong[0])}, "
                f"expected {self.spec.get(wrong[0])}"
            )
        if len(episode) == 0:
            raise StoreError(f"episode of seed {episode.seed} is empty")
        record = {
            "seed": int(episode.seed),
            "task": episode.task,
            "success": bool(episode.success),
            "length": len(episode),
            "checksums": [checksum(arrays[key]) for key in self.spec],
            "info": dict(episode.info),
        }
        start = self.steps
        try:
            for key, writer in self._arrays.items():
                writer.append(arrays[key])
            self._record({"episode": record})
        except BaseException as error:
            for writer in self._arrays.values():
                writer.length = start
            if isinstance(error, OSError):
                raise _explained(error, self.path) from error
            raise
        self.records.append(record)

    def drop(self, seed: int) -> None:
        """Remember that the episode of ``seed`` was tried and not kept."""
        self._record({"dropped": int(seed)})
        self.dropped.append(int(seed))

    def note(self, **facts: Any) -> None:
        """Add JSON facts to the provenance, kept over interruptions."""
        self._record({"note": facts})
        self.provenance.update(facts)

    @property
    def steps(self) -> int:
        """Control steps stored so far."""
        return sum(record["length"] for record in self.records)

    def seal(self) -> None:
        """Make the store final and readable, in one atomic step, and close. Refuses an empty store."""
        if not self.records:
            raise StoreError(f"{self.path} has no episode; nothing to seal")
        try:
            for writer in self._arrays.values():
                writer.finish()
            self._seal_group()
        except OSError as error:
            raise _explained(error, self.path) from error
        self.close()
        shutil.rmtree(self.path / layout.UNSEALED)

    def close(self) -> None:
        """Release files without sealing; the store can be resumed."""
        for writer in self._arrays.values():
            writer.close()
        if not self._journal.closed:
            self._journal.close()
            os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self, spec: dict[str, dict[str, Any]]) -> None:
        bad = [key for key in spec if key.startswith(layout.EPISODE) or key == layout.UNSEALED or "/" in key]
        if bad:
            raise StoreError(f"array name {bad[0]!r} is reserved")
        self._record({"spec": spec})
        self._use(spec)

    def _use(self, spec: dict[str, dict[str, Any]]) -> None:
        self.spec = spec
        for key, entry in spec.items():
            self._arrays[key] = BlockWriter(self.path / key, tuple(entry["row"]), np.dtype(entry["dtype"]), self.block)

    def _record(self, record: Mapping[str, Any]) -> None:
        """One journal line, on disk when this returns; a line that could not be written whole is taken back."""
        end = self._journal.tell()
        try:
            self._journal.write(layout.canonical(record) + b"\n")
            self._journal.flush()
            os.fsync(self._journal.fileno())
        except OSError:
            os.truncate(self.path / layout.JOURNAL, end)
            raise

    def _replay(self, lines: list[dict[str, Any]], journal: Path) -> None:
        """Take over journalled episodes; on the first damaged one, cut the journal there."""
        kept = [journal.read_bytes().splitlines(keepends=True)[0]]
        for line in lines:
            if "spec" in line:
                self._use(line["spec"])
            elif "note" in line:
                self.provenance.update(line["note"])
            elif "dropped" in line:
                self.dropped.append(line["dropped"])
            elif self._intact(line["episode"]):
                self.records.append(line["episode"])
            else:
                break
            kept.append(layout.canonical(line) + b"\n")
        if len(kept) <= len(lines):
            self.cut = sum("episode" in line for line in lines[len(kept) - 1 :])
            self._journal.close()
            layout.write_atomically(journal, b"".join(kept))
            self._journal = open(journal, "ab")  # noqa: SIM115
        for writer in self._arrays.values():
            writer.length = self.steps

    def _intact(self, record: Mapping[str, Any]) -> bool:
        start, stop = self.steps, self.steps + record["length"]
        try:
            for (key, entry), expected in zip(self.spec.items(), record["checksums"], strict=True):
                reader = BlockReader(self.path / key, tuple(entry["row"]), np.dtype(entry["dtype"]), self.block)
                if checksum(reader.read(start, stop)) != expected:
                    return False
        except (OSError, ValueError):
            return False
        return True

    def _seal_group(self) -> None:
        tasks = sorted({record["task"] for record in self.records})
        index: dict[str, np.ndarray] = {
            "ends": np.cumsum([record["length"] for record in self.records], dtype=np.int64),
            "seeds": np.array([record["seed"] for record in self.records], np.int64),
            "task_index": np.array([tasks.index(record["task"]) for record in self.records], np.int32),
            "success": np.array([record["success"] for record in self.records], np.bool_),
            "checksums": np.array([record["checksums"] for record in self.records], np.uint64),
        }
        for name, values in index.items():
            folder = self.path / f"{layout.EPISODE}{name}"
            shutil.rmtree(folder, ignore_errors=True)
            writer = BlockWriter(folder, values.shape[1:], values.dtype, len(values))
            writer.append(values)
            writer.finish()
        infos = [record["info"] for record in self.records]
        attributes = {
            "format": layout.FORMAT,
            "sealed": True,
            "block": self.block,
            "episodes": len(self.records),
            "steps": self.steps,
            "tasks": tasks,
            "arrays": self.spec,
            "index": {name: f"{checksum(values):016x}" for name, values in index.items()},
            "fingerprint": fingerprint(self.spec, tasks, index),
            "dropped_seeds": self.dropped,
            "info": infos if any(infos) else [],
            "provenance": self.provenance,
        }
        layout.sync_folder(self.path)
        layout.write_group(self.path, {**attributes, "seal": layout.seal_of(attributes)})


def fingerprint(spec: Mapping[str, Any], tasks: list[str], index: Mapping[str, np.ndarray]) -> str:
    """SHA-256 that names the content: equal for equal episodes in equal order, whenever and however collected."""
    record = {"spec": spec, "tasks": tasks, "index": {name: values.tolist() for name, values in index.items()}}
    return hashlib.sha256(layout.canonical(record)).hexdigest()


def _whole_lines(journal: Path) -> tuple[list[dict[str, Any]], int]:
    """Parsed journal lines up to the first that is not whole, and their length in bytes."""
    lines, size = [], 0
    for raw in journal.read_bytes().splitlines(keepends=True):
        try:
            record = json.loads(raw) if raw.endswith(b"\n") else None
        except ValueError:
            record = None
        if record is None:
            break
        lines.append(record)
        size += len(raw)
    return lines, size


def _lock(path: Path) -> int:
    """Hold the store's lock while this process lives; StoreError where another one holds it."""
    descriptor = os.open(path / layout.LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StoreError(f"{path} is being written by another process; wait for it or choose another folder") from None
    return descriptor


def _explained(error: OSError, path: Path) -> OSError:
    """A full disk gets a line that says what happened to the episodes; other errors stay as they are."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return error
    text = f"disk full while writing {path}; finished episodes are kept: free some space and run the same command"
    return OSError(error.errno, text)
