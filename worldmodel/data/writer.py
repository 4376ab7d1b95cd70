"""The writing half of a store: append episodes, survive any interruption, seal once.

Until the store is sealed its journal is the truth: an episode exists once its line is there, and the line is written
after the episode's data. Whatever lies beyond the last whole line is overwritten on resume. Its records:
{"header": ...} first, {"spec": ...} before the first {"episode": ...}, {"dropped": seed}, {"note": ...}.
"""

import contextlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Self

import numpy as np

from worldmodel.damage import reading
from worldmodel.data import layout
from worldmodel.data.blocks import BlockWriter
from worldmodel.data.layout import StoreError, checksum, explained
from worldmodel.files import JsonLines, lock, read_json_lines, sync, write_file
from worldmodel.schema import Episode


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
        self._journal = JsonLines(path / layout.JOURNAL, sums=True)

    @classmethod
    def create(cls, path: str | Path, provenance: Mapping[str, Any], block: int = layout.BLOCK_STEPS) -> Self:
        """Start a store in a folder that is absent or empty; StoreError where anything is in the way.

        ``provenance`` is a JSON record; its ``recipe`` says what decides the content and must agree on resume.
        """
        path = Path(path)
        if cls.resumable(path):
            raise StoreError(f"{path} holds an unfinished store; resume it, choose another folder or remove it")
        if path.exists() and (not path.is_dir() or any(entry.name != layout.UNSEALED for entry in path.iterdir())):
            problem = "already exists and is not an unfinished store"
            raise StoreError(f"{path} {problem}; choose another folder or remove it")
        (path / layout.UNSEALED).mkdir(parents=True, exist_ok=True)
        writer = cls(path, block, provenance)
        writer._journal.cut(0)  # what a crash in this very function left is half a line
        writer._record({"header": {"format": layout.FORMAT, "block": block, "provenance": writer.provenance}})
        _write_group(path, {"format": layout.FORMAT, "sealed": False})
        return writer

    @staticmethod
    def resumable(path: str | Path) -> bool:
        """Whether an interrupted store with anything worth keeping is there."""
        path = Path(path)
        if not (path / layout.JOURNAL).exists():
            return False
        with contextlib.suppress(StoreError, FileNotFoundError):
            layout.read_attributes(path)
            return False  # a crash right after the seal left the journal behind
        return bool(read_json_lines(path / layout.JOURNAL)) or (path / layout.GROUP).exists()

    @classmethod
    def resume(cls, path: str | Path) -> Self:
        """Go on with an interrupted store: keeps every episode whose data is intact, up to the first that is not."""
        path = Path(path)
        if not cls.resumable(path):
            raise StoreError(f"nothing to resume at {path}")
        lines, again = read_json_lines(path / layout.JOURNAL), f"remove {path} and begin again"
        with reading(f"the first line of the journal of {path}", StoreError, again):
            header = lines[0][0]["header"]
            block, provenance = int(header["block"]), dict(header["provenance"])
            if header["format"] != layout.FORMAT or block < 1:
                raise ValueError(f"format {header['format']}, block {block}")
            writer = cls(path, block, provenance)
        if not (path / layout.GROUP).exists():
            _write_group(path, {"format": layout.FORMAT, "sealed": False})
        try:
            with reading(f"the journal of {path}", StoreError, again):
                writer._replay(read_json_lines(path / layout.JOURNAL))  # once more, now that no other process can write
        except StoreError:
            writer.close()
            raise
        return writer

    def append(self, episode: Episode) -> None:
        """Store one episode. It survives a crash once this returns; if it raises, the episode was not stored.

        Only ``seal`` waits for the disk: a power cut before may cost the newest episodes, which ``resume`` notices.

        Raises StoreError where keys, shapes or dtypes differ from the first episode's; OSError on a full disk.
        """
        arrays = {key: np.asarray(value) for key, value in sorted(episode.arrays.items())}
        self._fit({key: {"row": list(value.shape[1:]), "dtype": value.dtype.name} for key, value in arrays.items()})
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
        try:
            for key, writer in self._arrays.items():
                writer.append(arrays[key])
            self._record({"episode": record})
            self.records.append(record)
        except OSError as error:
            raise explained(error, self.path) from error
        finally:
            self._rewind()

    def drop(self, seed: int) -> None:
        """Remember that the episode of ``seed`` was tried and not kept."""
        self._record({"dropped": int(seed)})
        self.dropped.append(int(seed))

    def note(self, **facts: Any) -> None:
        """Add JSON facts to the provenance, kept over interruptions."""
        self._record({"note": facts})
        self.provenance.update(facts)

    def read(self, key: str) -> np.ndarray:
        """An array as it is stored so far, (steps, *row), read back from its files."""
        return self._arrays[key].read(0, self.steps)

    @property
    def steps(self) -> int:
        return sum(record["length"] for record in self.records)

    def seal(self) -> None:
        """Make the store final and readable, in one atomic step, and close. Refuses an empty store."""
        if not self.records:
            raise StoreError(f"{self.path} has no episode; nothing to seal")
        try:
            for writer in self._arrays.values():
                writer.finish()
            tasks, index = self._write_index()
            infos = [record["info"] for record in self.records]
            attributes = {
                "format": layout.FORMAT,
                "sealed": True,
                "episodes": len(self.records),
                "steps": self.steps,
                "tasks": tasks,
                "index": {name: f"{checksum(values):016x}" for name, values in index.items()},
                "fingerprint": layout.fingerprint(self.spec, tasks, index),
                "info": infos if any(infos) else [],
                "arrays": self.spec,
                "block": self.block,
                "provenance": self.provenance,
                "dropped_seeds": self.dropped,
            }
            sync(self.path)
            _write_group(self.path, {**attributes, "seal": layout.seal_of(attributes)})
        except OSError as error:
            raise explained(error, self.path) from error
        self.close()
        shutil.rmtree(self.path / layout.UNSEALED)

    def _write_index(self) -> tuple[list[str], dict[str, np.ndarray]]:
        """Write the arrays with one entry per episode; the names of the tasks, and the arrays."""
        tasks = sorted({record["task"] for record in self.records})
        columns = {name: [record[name] for record in self.records] for name in ("length", "seed", "success", "task")}
        found = {
            "ends": np.cumsum(columns["length"]),
            "seeds": columns["seed"],
            "task_index": [tasks.index(task) for task in columns["task"]],
            "success": columns["success"],
            "checksums": np.array([record["checksums"] for record in self.records], np.uint64),
        }
        index = {name: np.asarray(found[name]).astype(dtype) for name, dtype in layout.INDEX_DTYPES.items()}
        for name, values in index.items():
            folder = self.path / f"{layout.EPISODE}{name}"
            shutil.rmtree(folder, ignore_errors=True)
            writer = BlockWriter(folder, values.shape[1:], values.dtype, len(values))
            writer.append(values)
            writer.finish()
        return tasks, index

    def close(self) -> None:
        """Release files without sealing; the store can be resumed."""
        for writer in self._arrays.values():
            writer.close()
        self._journal.close()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fit(self, spec: dict[str, dict[str, Any]]) -> None:
        """The first episode decides what every other must look like."""
        if not self.spec:
            layout.check_arrays(spec, self.path)
            self._record({"spec": spec})
            self._use(spec)
        for key in sorted(spec.keys() | self.spec.keys()):
            if spec.get(key) != self.spec.get(key):
                raise StoreError(f"episode does not fit: {key!r} is {spec.get(key)}, expected {self.spec.get(key)}")

    def _use(self, spec: dict[str, dict[str, Any]]) -> None:
        self.spec = layout.check_arrays(spec, self.path)
        for key, entry in spec.items():
            self._arrays[key] = BlockWriter(self.path / key, tuple(entry["row"]), np.dtype(entry["dtype"]), self.block)

    def _record(self, record: Mapping[str, Any]) -> None:
        try:
            self._journal.add(record)
        except OSError as error:
            raise explained(error, self.path) from error

    def _rewind(self) -> None:
        """Let the next episode begin where the last stored one ends."""
        for writer in self._arrays.values():
            writer.length = self.steps

    def _replay(self, lines: list[tuple[dict[str, Any], int]]) -> None:
        """Take over what the journal holds; at the first damaged episode, cut the journal there."""
        whole = 0
        written = (self.path / layout.JOURNAL).read_bytes()
        lost = written[lines[-1][1] if lines else 0 :].splitlines(keepends=True)  # from a damaged line on
        self.cut = sum(line.startswith(b'{"episode"') and line.endswith(b"\n") for line in lost)
        for line, end in lines:
            if "spec" in line:
                self._use(line["spec"])
            elif "note" in line:
                self.provenance.update(line["note"])
            elif "dropped" in line:
                self.dropped.append(line["dropped"])
            elif "episode" in line:
                if not self._intact(line["episode"]):
                    self.cut += sum("episode" in later for later, offset in lines if offset >= end)
                    break
                self.records.append(line["episode"])
            whole = end
        self._journal.cut(whole)
        self._rewind()

    def _intact(self, record: Mapping[str, Any]) -> bool:
        start, stop = self.steps, self.steps + record["length"]
        try:
            found = [checksum(self._arrays[key].read(start, stop)) for key in self.spec]
        except (OSError, ValueError):
            return False
        return found == record["checksums"]


def _write_group(path: Path, attributes: Mapping[str, Any]) -> None:
    group = {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}
    write_file(path / layout.GROUP, json.dumps(group, indent=1))


def _lock(path: Path) -> IO[bytes]:
    """A file whose lock is the store's, until it is closed; StoreError where another process holds it."""
    file = lock(path / layout.LOCK)
    if file is None:
        raise StoreError(f"{path} is being written by another process; wait for it or choose another folder")
    return file
