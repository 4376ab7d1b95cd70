"""What all conversions share: a store that is resumed where it was left, or left alone once it is whole; a bar."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from worldmodel.data.card import write_declared
from worldmodel.data.layout import BLOCK_STEPS, GROUP, StoreError
from worldmodel.data.store import EpisodeStore
from worldmodel.data.writer import StoreWriter


def begin(out: Path, key: str, provenance: Mapping[str, Any], block: int = BLOCK_STEPS) -> StoreWriter | None:
    """A writer for a new store, or for one that the same conversion left unfinished; None where it is finished.

    ``key``: the entry of the provenance that says what is converted, and how. StoreError where ``out`` holds others.
    """
    wanted = json.loads(json.dumps(provenance[key]))
    if StoreWriter.resumable(out):
        writer = StoreWriter.resume(out)
        if _holds(writer.provenance.get(key), wanted):
            return writer
        writer.close()
        raise StoreError(f"{out} holds another unfinished store; choose another out= or remove it")
    if not (out / GROUP).exists():
        return StoreWriter.create(out, provenance, block)
    if _holds(EpisodeStore.open(out).meta["provenance"].get(key), wanted):
        return None
    raise StoreError(f"{out} holds another store; choose another out= or remove it")


def _holds(found: Any, wanted: Mapping[str, Any]) -> bool:
    """Whether a record says all that is wanted, and perhaps more."""
    return isinstance(found, dict) and found | dict(wanted) == found


def finish(out: Path, declarations: Mapping[str, Any]) -> EpisodeStore:
    """The converted store, once what people declared of the data lies beside it."""
    store = EpisodeStore.open(out)
    write_declared(declarations, out, store.fingerprint)
    return store


def progress[Item](items: Iterable[Item], text: str, total: int | None = None, done: int = 0) -> Iterator[Item]:
    """The same items behind a progress bar, where there is a terminal; ``done``: how many of ``total`` came before."""
    console = Console(stderr=True)
    yield from track(items, text, total, completed=done, console=console, disable=not console.is_terminal)
