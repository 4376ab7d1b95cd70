"""What clients showed and what they were answered, as episodes of a store; each is whole or not there."""

import sys
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.config import UserError
from worldmodel.data import StoreError, StoreWriter
from worldmodel.schema import ACTION, Arrays, Episode

LONGEST = 2**26
"""Bytes of one client's episode that are kept in memory; then it is stored, and the next one begins."""


class EpisodeRecording:
    """One client's episode: a row for each request that was answered."""

    def __init__(self) -> None:
        self.rows: list[dict[str, np.ndarray]] = []
        self.size, self.began = 0, 0.0

    def add(self, observation: Arrays, chunk: np.ndarray) -> None:
        """An observation without a batch axis, and the actions (H, A) that were its answer."""
        self.began = self.began if self.rows else time.monotonic()
        row = {key: np.array(value) for key, value in observation.items()}
        row |= {ACTION: chunk[0], "action.chunk": chunk, "time": np.array(time.monotonic() - self.began)}
        row |= {"executed": np.zeros_like(chunk), "executed.steps": np.array(0, np.int32)}
        self.size += sum(value.nbytes for value in row.values())
        self.rows.append(row)

    def done(self, executed: np.ndarray | None) -> None:
        """What the client carried out since the last row, float32 (n, A)."""
        if self.rows and executed is not None and executed.shape[1] == self.rows[-1]["executed"].shape[1]:
            self.rows[-1]["executed"][: len(executed)] = executed
            self.rows[-1]["executed.steps"] = np.array(len(executed), np.int32)

    def episode(self, task: str, seed: int, success: bool | None, ended: str) -> Episode:
        arrays = {key: np.stack([row[key] for row in self.rows]) for key in self.rows[0]}
        info = {"ended": ended, "success": "as the client says" if success is not None else "unknown"}
        return Episode(arrays, task, seed, bool(success), info)


class Recorder:
    """Stores episodes in ``path`` in a thread of its own, in the order in which they end.

    Goes on with a store that was interrupted; `close` seals it. Raises UserError where another store is in the way.
    """

    def __init__(self, path: Path, task: str, provenance: Mapping[str, Any]) -> None:
        self.path, self.task = path, task
        self.stored = self.lost = 0
        try:
            if StoreWriter.resumable(path):
                self._writer = StoreWriter.resume(path)
                was, now = (one.get("recipe") for one in (self._writer.provenance, provenance))
                if was != now:
                    self._writer.close()
                    raise UserError(f"record={path}: was recorded from another policy or task; choose another folder")
            else:
                self._writer = StoreWriter.create(path, provenance)
        except StoreError as error:
            raise UserError(f"record={path}: {error}") from None
        self.resumed = len(self._writer.records)
        self._thread = ThreadPoolExecutor(1, "recorder")

    def end(self, recording: EpisodeRecording, success: bool | None, ended: str) -> "Future[int | None]":
        """Store an episode; its number, once it is on the way to the disk and survives this process, or None."""
        rows = EpisodeRecording()
        rows.rows, recording.rows, recording.size = recording.rows, [], 0
        return self._thread.submit(self._store, rows, success, ended)

    def close(self) -> str:
        """Seal the store. Returns what to say of it."""
        self._thread.shutdown()
        if count := len(self._writer.records):
            self._writer.seal()
            return f"{count} episodes in {self.path}" + (f", {self.lost} could not be stored" if self.lost else "")
        self._writer.close()
        return f"no episode for {self.path}"

    def _store(self, recording: EpisodeRecording, success: bool | None, ended: str) -> int | None:
        number = len(self._writer.records)
        try:
            self._writer.append(recording.episode(self.task, number, success, ended))
        except (StoreError, OSError, ValueError) as error:
            self.lost += 1
            print(f"worldmodel serve: an episode was not recorded: {' '.join(str(error).split())}", file=sys.stderr)
            return None
        self.stored += 1
        return number
