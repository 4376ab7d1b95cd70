"""Reads every byte of a store and compares it with the checksums taken when the episodes were recorded."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from worldmodel.data import layout
from worldmodel.data.blocks import BlockReader
from worldmodel.data.card import CARD, README, read_card
from worldmodel.data.layout import DamagedStoreError, checksum
from worldmodel.data.store import EpisodeStore
from worldmodel.data.views import open_view


@dataclass(frozen=True)
class Damage:
    """One damaged place: an episode (None where it lies outside all episodes) of an array, and what is wrong."""

    array: str
    episode: int | None
    reason: str

    def __str__(self) -> str:
        where = "outside the episodes" if self.episode is None else f"episode {self.episode}"
        return f"{where}, array {self.array}: {self.reason}"


def verify(path: str | Path) -> list[Damage]:
    """All damage in the data of a sealed store; empty when every byte is as recorded.

    Raises StoreError or FileNotFoundError where there is no sealed store, or its metadata or episode index is damaged.
    """
    store = EpisodeStore.open(path, check=False)
    found = (_verify_metadata(store), _verify_kept(store), _verify_card(store), _verify_names(store))
    return [*chain(*found, *(_verify_array(store, key) for key in store.keys))]


def check_whole(store: EpisodeStore) -> None:
    """DamagedStoreError, one line, where a number differs from what was recorded. LeRobot keeps no checksums."""
    if (store.path / layout.GROUP).is_file():
        sealed = EpisodeStore.open(store.path)
        for damage in chain.from_iterable(_verify_array(sealed, key) for key in sealed.keys):
            raise DamagedStoreError(f"{store.path} is damaged: {damage}; restore it, see `worldmodel data verify`")


def _verify_metadata(store: EpisodeStore) -> Iterator[Damage]:
    """Metadata files of what we wrote ourselves must be ours to the byte; archives made by others may differ."""
    group = (store.path / layout.GROUP).read_bytes()
    if json.dumps(json.loads(group), indent=1).encode() != group:
        yield Damage(layout.GROUP, None, "metadata differs from what was sealed")
    arrays = {key: ((store.steps, *store.row(key)), store.dtype(key), store.meta["block"]) for key in store.keys}
    for name, kind in layout.INDEX_DTYPES.items():
        shape = store.checksums.shape if name == "checksums" else (store.episodes,)
        arrays[layout.EPISODE + name] = (shape, np.dtype(kind), store.episodes)
    for key, (shape, dtype, block) in arrays.items():
        try:
            content = (store.path / key / layout.GROUP).read_bytes()
            codecs = json.loads(content)["codecs"]
            archived = len(codecs) > 1 or codecs[0]["name"] == "sharding_indexed"
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            archived, content = False, b""
        if not archived and content != layout.array_json(shape, dtype, block, key):
            yield Damage(key, None, "metadata differs from what was sealed")


def _verify_names(store: EpisodeStore) -> Iterator[Damage]:
    """Nothing lies in a store but what was sealed, its card, and what archives made by others have."""
    index = [f"{layout.EPISODE}{name}" for name in layout.INDEX_DTYPES]
    for entry in sorted(store.path.iterdir()):
        if entry.name not in (*layout.RESERVED, *store.keys, *index):
            yield Damage(entry.name, None, "was not there when the store was sealed")
    for key in store.keys:
        block, ndim = store.meta["block"], 1 + len(store.row(key))
        raw = {layout.block_path(store.path / key, number, ndim) for number in range(-(-store.steps // block))}
        there = {path for path in (store.path / key).rglob("*") if path.is_file()} - {store.path / key / layout.GROUP}
        if raw <= there and (more := sorted(there - raw)):
            yield Damage(key, None, f"{more[0].relative_to(store.path)} was not there when the store was sealed")


def _verify_card(store: EpisodeStore) -> Iterator[Damage]:
    """The card and its README, which are written later and say what they should be."""
    try:
        card = read_card(store.path, store.fingerprint)
    except layout.StoreError as error:
        yield Damage(CARD, None, str(error))
        return
    if card.get("format", 0) > 2:
        text = (store.path / CARD).read_text()
        if json.dumps(json.loads(text), indent=1) + "\n" != text:
            yield Damage(CARD, None, "differs from what was written")
    readme = store.path / README
    found = hashlib.sha256(readme.read_bytes()).hexdigest() if readme.is_file() else None
    if found and not card:
        yield Damage(CARD, None, "is missing beside its README, or describes other content")
    elif card.get("readme", found) != found:
        yield Damage(README, None, "is not what `worldmodel data card` wrote")


def _verify_kept(store: EpisodeStore) -> Iterator[Damage]:
    """What was kept for the way back to LeRobot; stores converted before it was hashed have nothing to compare with."""
    folder = store.path / layout.KEPT
    sums, sealed_sum = folder / layout.SUMS, (store.meta["provenance"].get("converted") or {}).get("kept")
    if sealed_sum and (not sums.is_file() or hashlib.sha256(sums.read_bytes()).hexdigest() != sealed_sum):
        yield Damage(f"{layout.KEPT}/{layout.SUMS}", None, "differs from what was sealed, or is missing")
    if not sums.is_file():
        return
    found = layout.hashes(folder)
    try:
        text = sums.read_text()
        sealed = dict(json.loads(text))
    except (ValueError, TypeError, RecursionError):
        text, sealed = "", {}
    if json.dumps(sealed, indent=1) != text:
        yield Damage(f"{layout.KEPT}/{layout.SUMS}", None, "differs from what was sealed")
    for name in sorted({*sealed, *found}):
        if sealed.get(name) != found.get(name):
            yield Damage(f"{layout.KEPT}/{name}", None, "does not match its checksum")


def _verify_array(store: EpisodeStore, key: str) -> Iterator[Damage]:
    column = store.keys.index(key)
    shape, dtype, block = (store.steps, *store.row(key)), store.dtype(key), store.meta["block"]
    raw = BlockReader(store.path / key, store.row(key), dtype, block)
    try:
        view, problem = open_view(store.path / key, shape, dtype, block), _padding(raw, store.steps)
        read: Callable[[int, int], np.ndarray] = lambda start, stop: view[start:stop]  # noqa: E731
    except DamagedStoreError as error:  # files are missing: read the others
        read, problem = raw.read, str(error)
    for episode in range(store.episodes):
        start, stop = store.span(episode)
        try:
            rows = read(start, stop)
        except (OSError, ValueError) as error:
            yield Damage(key, episode, f"cannot be read ({error})")
            continue
        if len(rows) != stop - start:
            yield Damage(key, episode, "cannot be read (a block file is too short)")
        elif checksum(rows) != int(store.checksums[episode, column]):
            yield Damage(key, episode, "does not match its checksum")
    if problem:
        yield Damage(key, None, problem)


def _padding(raw: BlockReader, steps: int) -> str:
    """What is wrong with the end of the last block, which holds zeros; empty where nothing is."""
    try:
        rows = raw.read(steps, -(-steps // raw.block) * raw.block)
    except (OSError, ValueError):
        return ""  # compressed or re-chunked: there are no plain block files
    return "padding of the last block is not zero" if rows.view(np.uint8).any() else ""
