"""Whole robomimic files to stores and back: ``data convert``'s two ways, with progress and resumption."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

import worldmodel
from worldmodel.data.card import write_declared
from worldmodel.data.formats import hdf5
from worldmodel.data.formats.robomimic import Reader, demos_of, head_of
from worldmodel.data.layout import StoreError
from worldmodel.data.store import EpisodeStore
from worldmodel.data.writer import StoreWriter
from worldmodel.schema import ACTION, STATE


def to_store(source: Path, out: Path, actions: str, state: str) -> int:
    """An .hdf5 file as a sealed store. Resumes an interrupted one; leaves a finished one alone."""
    with hdf5.DemoFile(source) as file:
        first, head = file.demo(file.names[0]), file.head
        parts = [part for part in state.strip("[]").split(",") if part]
        reader = Reader(head, first, parts, actions == "absolute")
        recipe = {
            "source": source.name,
            "bytes": source.stat().st_size,
            "episodes": len(file.names),
            "actions": actions,
            "state": list(reader.parts),
        }
        writer = _writer(out, source, recipe, reader.provenance())
        if writer is None:
            write_declared(reader.declared, out, EpisodeStore.open(out).fingerprint)
            print(f"{out} is complete: {len(file.names)} episodes; nothing to do")
            return 0
        with writer:
            done = len(writer.records)
            reader.remember(writer.records)
            left_out: set[str] = set()
            for number, name in _shown(list(enumerate(file.names))[done:], "episodes"):
                demo = file.demo(name)
                left_out.update(demo.left_out)
                writer.append(reader.episode(demo, number))
            if left_out:
                writer.note(left_out=sorted(left_out))
                print(f"left out (no row per step, or no numbers): {', '.join(sorted(left_out))}")
            if not reader.ours:  # our own stores record it
                states = writer.read(STATE) if STATE in writer.spec else None
                writer.note(relative=reader.relative(writer.read(ACTION), states))
            writer.seal()
    store = EpisodeStore.open(out)
    write_declared(reader.declared, out, store.fingerprint)
    print(f"{out}: {store.episodes} episodes, {store.steps} steps, {int(store.success.sum())} successful")
    print(f"fingerprint {store.fingerprint}")
    return 0


def from_store(source: Path, out: Path, compress: bool) -> int:
    """A store as an .hdf5 file, which appears under its name once it is whole. FileExistsError where there is one."""
    if out.suffix.lower() not in (".hdf5", ".h5"):
        raise ValueError(f"out={out}: expected a file name ending in .hdf5")
    if out.exists():
        raise FileExistsError(f"{out} already exists; choose another name or remove it")
    store = EpisodeStore.open(source)
    demos = _shown(demos_of(store), "demonstrations", store.episodes)
    count = hdf5.write(out, head_of(store), demos, compress)
    print(f"{out}: {count} demonstrations, {store.steps} steps, {out.stat().st_size / 1e6:.1f} MB")
    return 0


def _writer(path: Path, source: Path, recipe: dict[str, Any], more: dict[str, Any]) -> StoreWriter | None:
    """A writer for a new or an interrupted store; None where the same conversion is complete."""
    if StoreWriter.resumable(path):
        writer = StoreWriter.resume(path)
        if writer.provenance.get("conversion") != recipe:
            writer.close()
            raise StoreError(f"{path} holds another unfinished store; choose another out= or remove it")
        return writer
    if path.is_dir() and any(path.iterdir()):
        if EpisodeStore.open(path).meta["provenance"].get("conversion") == recipe:
            return None
        raise StoreError(f"{path} holds another store; choose another out= or remove it")
    provenance = {
        "recipe": recipe,
        "command": f"worldmodel data convert {source} out={path}",
        "licence": "unknown",
        "version": worldmodel.__version__,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **more,
        "conversion": recipe,
    }
    return StoreWriter.create(path, provenance)


def _shown[Item](items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """The same items behind a progress bar, where there is a terminal."""
    console = Console(stderr=True)
    yield from track(items, what, total, console=console, disable=not console.is_terminal)
