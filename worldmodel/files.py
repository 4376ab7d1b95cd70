"""Files, folders and lines of JSON that are whole or not there, whatever crashes and however full the disk is."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

SUM = "sum"
"""Key of a line's checksum in a file of JSON lines that has them."""


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary path for the block to write to; renamed to ``path`` at its end, removed on errors."""
    temporary = path.with_name(path.name + ".partial")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A path for the block to make a folder at; it takes the place of ``path`` at its end, is removed on errors."""
    fresh, old = path.with_name(f".{path.name}.{os.getpid()}"), path.with_name(f".{path.name}.old")
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        yield fresh
        for part in [*fresh.rglob("*"), fresh]:
            sync(part)
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            path.rename(old)
        fresh.rename(path)
        sync(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def recover(folder: Path) -> None:
    """Put back what a crash left in ``folder`` between two renames of `atomic_folder`, and remove what it left half.

    Only where no other process writes there: see `locked`.
    """
    for leftover in folder.glob(".*"):
        found = re.fullmatch(r"\.(.+)\.(old|\d+)", leftover.name)
        if found and found[2] == "old" and not (folder / found[1]).exists():
            leftover.rename(folder / found[1])
        elif found:
            shutil.rmtree(leftover, ignore_errors=True)


@contextlib.contextmanager
def locked(out: str | Path) -> Iterator[None]:
    """Keep ``out``, a file or folder that need not exist, to this process. FileExistsError where another one has it."""
    path = Path(out).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.with_name(f".{path.name}.lock")
    while True:
        if (file := lock(name)) is None:
            advice = "wait for it or choose another out="
            raise FileExistsError(f"out={out}: is being written by another process; {advice}")
        if name.exists() and os.path.samestat(os.fstat(file.fileno()), name.stat()):
            break
        file.close()  # another process has just removed it
    try:
        yield
    finally:
        name.unlink(missing_ok=True)
        file.close()


def out_folder(name: str) -> Path:
    """The folder that ``out=`` names, made where there is none. FileExistsError where it is a file."""
    path = Path(name)
    if path.is_file():
        raise FileExistsError(f"out={name}: is a file, expected a folder; choose another out=")
    path.mkdir(parents=True, exist_ok=True)
    return path


def write_file(path: Path, content: str | bytes) -> None:
    """Replace a file by ``content`` (text as UTF-8) in one step."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, record: Any) -> None:
    """Replace a file by a JSON value in one step."""
    write_file(path, json.dumps(record, indent=1) + "\n")


def lock(path: Path) -> IO[bytes] | None:
    """The open file ``path``, whose lock is ours until it is closed; None where another process has it."""
    file = open(path, "ab")  # noqa: SIM115  # the lock lasts as long as it is open
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def sync(path: Path) -> None:
    """Bring a file's content, or a folder's names, to the disk: they survive a power cut from here on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class JsonLines:
    """One JSON record per line, appended whole or not at all, by one process at a time; `close` it.

    With ``sums`` each line ends with a checksum, under the key `SUM`, which `read_json_lines` compares.
    """

    def __init__(self, path: Path, sums: bool = False) -> None:
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115  # closed by `close`
        self._sums = sums

    def add(self, record: Mapping[str, Any], durable: bool = False) -> None:
        """One more record, on disk where ``durable``; one that cannot be written whole (OSError) is taken back."""
        line = json.dumps({**record, SUM: _sum(record)} if self._sums else record).encode() + b"\n"
        end = os.fstat(self._file.fileno()).st_size
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if durable:
                os.fsync(self._file.fileno())
        except OSError:
            self.cut(end)
            raise

    def cut(self, size: int) -> None:
        """Keep the first ``size`` bytes."""
        os.ftruncate(self._file.fileno(), size)

    def close(self) -> None:
        self._file.close()


def read_json_lines(path: Path) -> list[tuple[dict[str, Any], int]]:
    """Whole records of a file, each with the offset at which it ends; stops at a torn line, or at one whose checksum is
    another or, after lines that have one, missing. [] where there is no file.
    """
    records, end, sums = [], 0, False
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else []:
        try:
            record = json.loads(line) if line.endswith(b"\n") else None
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            break
        found = record.pop(SUM, None)
        if found != _sum(record) if sums or found is not None else False:
            break
        sums = sums or found is not None
        end += len(line)
        records.append((record, end))
    return records


def _sum(record: Mapping[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(record).encode(), digest_size=8).hexdigest()
