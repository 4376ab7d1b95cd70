"""Whether what is tested on was trained on: the same seeds, simulator states, first frames or recordings."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from worldmodel.assets import asset
from worldmodel.data import EpisodeStore
from worldmodel.data.source import open_source
from worldmodel.evaluate.initial_states import SPLITS, Starts
from worldmodel.quality.finding import FAIL, OK, SKIPPED, WARN, Finding
from worldmodel.schema import IMAGES, SIMULATOR_STATE
from worldmodel.sims.base import STATE
from worldmodel.sims.gymnasium.name import slug

DIGITS = 6  # Decimals to which simulator states are compared: metres to the micrometre
FLAT = 2.0  # First frames with less contrast show nothing, and prove nothing by being equal

type Marks = dict[object, int]


@dataclass(frozen=True)
class Openings:
    """How the episodes of a store, or fixed initial states, begin; each mark leads to the first episode that has it.

    seeds: (task, seed), where numbers are seeds at all. states: digests of the first simulator state. frames: by camera
    key and shape, digests of first frames. recordings: checksums of whole episodes' frames, by camera key.
    """

    name: str
    episodes: int
    seeds: Marks = field(default_factory=dict)
    states: Marks = field(default_factory=dict)
    frames: Mapping[str, Marks] = field(default_factory=dict)
    fingerprint: str = ""


def of_store(store: EpisodeStore) -> Openings:
    """The openings of every episode of a store."""
    firsts = np.concatenate([[0], store.ends[:-1]])
    numbered = "recipe" in store.meta["provenance"]  # made by collect: the numbers draw the scenes
    seeds = zip([store.tasks[i] for i in store.task_index], store.seeds.tolist(), strict=True) if numbered else ()
    states: Marks = {}
    if SIMULATOR_STATE in store.keys:
        states = _first(digest(store.array(SIMULATOR_STATE)[int(step)]) for step in firsts)
    frames = {}
    for key in store.keys:
        if key.startswith(IMAGES):
            view = store.array(key)
            marks = _first(_frame_digest(view[int(step)]) for step in firsts)
            frames[f"{key} {store.row(key)}"] = {mark: episode for mark, episode in marks.items() if mark is not None}
    return Openings(str(store.path), store.episodes, _first(seeds), states, frames, store.fingerprint)


def of_starts(path: Path) -> Openings:
    """The openings of a file of initial states. Raises StartsError where it is damaged."""
    starts = Starts.load(path)
    seeds = _first((starts.task, seed) for seed in starts.seeds)
    states = starts.states if starts.kind == STATE else ()  # of a seed the rows hold hashes
    return Openings(path.name, len(starts), seeds, _first(digest(state) for state in states))


def opposite(name: str) -> Openings:
    """What ``name`` leads to: a file of initial states (.npz) or recorded data. One-line errors where neither."""
    path = Path(name)
    return of_starts(path) if path.suffix == ".npz" else of_store(open_source(name))


def frozen_for(tasks: Iterable[str]) -> list[Openings]:
    """The shipped validation and test starts of ``tasks``; none for tasks that have none."""
    folder = asset("eval/starts")
    files = [folder / f"{slug(task)}.{split}.npz" for task in tasks for split in SPLITS]
    return [of_starts(file) for file in files if file.is_file()]


def shared(ours: Openings, theirs: Openings) -> Finding:
    """What ``ours`` (to train on) shares with ``theirs`` (to be tested on)."""
    if ours.fingerprint and ours.fingerprint == theirs.fingerprint:
        everything = tuple(range(ours.episodes))
        return Finding(FAIL, "it is the same store", everything, "split the episodes, or collect others to test")
    cameras = ours.frames.keys() & theirs.frames.keys()
    both = {"simulator states": (ours.states, theirs.states), "seeds": (ours.seeds, theirs.seeds)}
    compared = [what for what, (mine, other) in both.items() if mine and other] + ["first frames"] * bool(cameras)
    for key in cameras:
        both[f"first frames of {key.split()[0].removeprefix(IMAGES)}"] = ours.frames[key], theirs.frames[key]
    both_have = {what: {mine[mark] for mark in mine.keys() & other.keys()} for what, (mine, other) in both.items()}
    found = {what: episodes for what, episodes in both_have.items() if episodes}
    if not compared:
        return Finding(SKIPPED, "no seeds, simulator states or cameras in common to compare")
    if not found:
        return Finding(OK, f"nothing shared among {theirs.episodes} ({', '.join(compared)} compared)")
    episodes = tuple(sorted(set().union(*found.values())))
    seen = ", ".join(f"{len(where)} same {what}" for what, where in found.items())
    advice = "leave these episodes out of training, or collect with another seed="
    return Finding(WARN if found.keys() == {"seeds"} else FAIL, seen, episodes, advice)


def digest(state: np.ndarray) -> str:
    """One short text per simulator state, equal where all numbers agree to ``DIGITS`` decimals."""
    rounded = np.round(np.asarray(state, np.float64), DIGITS) + 0.0  # no negative zero
    return hashlib.blake2b(rounded.astype("<f8").tobytes(), digest_size=16).hexdigest()


def _frame_digest(frame: np.ndarray) -> str | None:
    """One short text per frame, to the last bit; None for a frame that shows nothing."""
    if frame.std() < FLAT:
        return None
    return hashlib.blake2b(np.ascontiguousarray(frame).tobytes(), digest_size=16).hexdigest()


def _first(marks: Iterable[object]) -> Marks:
    found: Marks = {}
    for episode, mark in enumerate(marks):
        found.setdefault(mark, episode)
    return found
