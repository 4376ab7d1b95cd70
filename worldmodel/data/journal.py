"""The journal of an unsealed store: one JSON record per line, whole or not there, written by one process at a time.

Records: {"header": ...} first, then {"spec": ...} before the first {"episode": ...}, {"dropped": seed}, {"note": ...}.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worldmodel.data import layout
from worldmodel.data.layout import StoreError


class Journal:
    """Appends records; holds the store's lock as long as it is open. ``path`` is the store's folder."""

    def __init__(self, path: Path) -> None:
        self.file = path / layout.JOURNAL
        self._lock: int | None = _lock(path)
        self._descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def add(self, record: Mapping[str, Any]) -> None:
        """One more record; one that cannot be written whole (OSError: disk full) is taken back."""
        line = layout.canonical(record) + b"\n"
        end = os.fstat(self._descriptor).st_size
        try:
            if os.write(self._descriptor, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.ftruncate(self._descriptor, end)
            raise

    def cut(self, size: int) -> None:
        """Keep the first ``size`` bytes."""
        os.ftruncate(self._descriptor, size)

    def close(self) -> None:
        """Release the file and the lock; harmless when repeated."""
        if self._lock is not None:
            os.close(self._descriptor)
            os.close(self._lock)
            self._lock = None


def read_journal(path: Path) -> list[tuple[dict[str, Any], int]]:
    """Whole records of a store's journal, each with the offset at which it ends; stops at a torn or absent line."""
    file = path / layout.JOURNAL
    records, end = [], 0
    for line in file.read_bytes().splitlines(keepends=True) if file.exists() else []:
        try:
            record = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            record = None
        if not isinstance(record, dict):
            break
        end += len(line)
        records.append((record, end))
    return records


def _lock(path: Path) -> int:
    """Hold the store's lock while this process lives; StoreError where another one holds it."""
    descriptor = os.open(path / layout.LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StoreError(f"{path} is being written by another process; wait for it or choose another folder") from None
    return descriptor
