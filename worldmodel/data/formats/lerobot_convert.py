"""Between stores and LeRobot data sets, without loss either way (frames kept as video: within the codec's error).

What people declared of the data is copied, in a ``card.json`` beside LeRobot's ``meta``.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.damage import reading
from worldmodel.data.card import declared, write_declared
from worldmodel.data.formats.lerobot_data import H264, REGULAR, DatasetPlan, DatasetWriter, Kept, encoder_of
from worldmodel.data.formats.lerobot_store import SIDECAR, LeRobotStore, fingerprint_of
from worldmodel.data.formats.resumable import begin, finish, progress
from worldmodel.data.layout import BLOCK_STEPS, KEPT, SUMS, StoreError, hashes
from worldmodel.data.store import EpisodeStore
from worldmodel.files import atomic_folder, write_file
from worldmodel.schema import IMAGES, LEROBOT, Episode, is_name

BLOCK_BYTES = 2**25


def to_store(source: str, out: Path, without: Sequence[str] = ()) -> EpisodeStore:
    """Write a LeRobot data set into a store; run again, it goes on where it was interrupted.

    Raises StoreError where something has no place in a store and is not named in ``without``, or ``out`` is in use.
    """
    with reading(f"the data set {source}", StoreError):
        store = LeRobotStore(source.removeprefix(LEROBOT), without)
    if store.left_out:
        raise StoreError(
            f"{source}: a store has no place for {', '.join(store.left_out)} (depth, language annotations or frames "
            f"that are not RGB); add without={','.join([*without, *store.left_out])} to leave it out"
        )
    declarations = declared(store)
    made = {"from": "lerobot", "source": source, "fingerprint": store.fingerprint, "without": list(without)}
    largest = max(int(np.prod(store.row(key))) * store.dtype(key).itemsize for key in store.keys)
    block = max(1, min(BLOCK_STEPS, BLOCK_BYTES // largest))
    writer = begin(out, "converted", {**store.meta["provenance"], "converted": made}, block)
    if writer is None:
        return finish(out, declarations)
    with writer:
        done = len(writer.records)
        for number in progress(range(done, store.episodes), "episodes", store.episodes, done):
            writer.append(store.episode(number))
        for seed in store.meta["dropped_seeds"][len(writer.dropped) :]:
            writer.drop(seed)
        store.recording.keep(out / KEPT)
        write_file(out / KEPT / SUMS, json.dumps(hashes(out / KEPT), indent=1))
        sums = hashlib.sha256((out / KEPT / SUMS).read_bytes()).hexdigest()
        writer.note(converted={**made, "kept": sums})
        writer.seal()
    return finish(out, declarations)


def from_store(
    path: str,
    out: Path,
    frames: str = "as_recorded",
    without: Sequence[str] = (),
    encoder: Mapping[str, Any] | None = None,
) -> None:
    """Write a store as a LeRobot data set, in a folder beside ``out`` that takes its name once it is whole.

    frames: ``image`` is exact; ``video`` is small: h264 at full colour resolution, or the frames' earlier encoding;
    ``as_recorded`` is video where the store was made from video, else image. without: arrays to leave out. encoder: of
    video, by LeRobot's names; empty for LeRobot's default. Raises StoreError where LeRobot cannot hold the store.
    """
    store = EpisodeStore.open(path)
    if unknown := [key for key in without if key not in store.keys]:
        raise StoreError(f"{path} has no array {unknown[0]!r}; it has {', '.join(store.keys)}")
    if out.exists():
        raise StoreError(f"{out} already exists; choose another folder or remove it")
    declarations, plan = declared(store), plan_for(store, frames, without)
    plan = plan if encoder is None else replace(plan, encoder=encoder)
    with atomic_folder(out) as partial:
        writer = DatasetWriter(partial, plan)
        for number in progress(range(store.episodes), "episodes"):
            _add(writer, store, store.episode(number), plan)
        writer.finish((SIDECAR, _sidecar(store, without)))
        write_declared(declarations, partial, fingerprint_of(partial))  # outside meta, which the fingerprint covers


def plan_for(store: EpisodeStore, frames: str, without: Sequence[str]) -> DatasetPlan:
    """What the data set will look like: its columns in the order that they had, or else in the store's."""
    if store.rate != int(store.rate):
        raise StoreError(f"{store.path} has {store.rate:g} steps a second; LeRobot knows whole numbers only")
    kept = Kept(store.path / KEPT) if (store.path / KEPT).is_dir() else None
    before = kept.features if kept else {}
    features: dict[str, dict[str, Any]] = {}
    for key in store.keys:
        theirs = _theirs(store, key)
        if key not in without and theirs not in REGULAR:
            features[theirs] = _feature(store, key, frames, before.get(theirs, {}))
    texts = store.meta["info"][0].get("texts", {}) if store.meta["info"] else {}
    features |= {key: before.get(key, {"dtype": "string", "shape": (1,), "names": None}) for key in texts}
    ordered = {key: features[key] for key in before if key in features} | features
    videos = [before[key] for key in before if before[key]["dtype"] == "video" and key in features]
    tasks = tuple(map(str, kept.meta.tasks.sort_values("task_index").index)) if kept else store.tasks
    return DatasetPlan(int(store.rate), ordered, tasks, encoder_of(videos[0]) if videos else H264, kept)


def _feature(store: EpisodeStore, key: str, frames: str, before: Mapping[str, Any]) -> dict[str, Any]:
    """LeRobot's description of one array."""
    row, kind = store.row(key), store.dtype(key)
    if key.startswith(IMAGES) and len(row) == 3 and row[-1] == 3 and kind == np.uint8:
        dtype = before.get("dtype", "image") if frames == "as_recorded" else frames
        plain = dict(before) or {"shape": row, "names": ["height", "width", "channels"]}
        if dtype == "video":
            plain.pop("info", None)  # about the encoding: LeRobot looks at the new file
        return plain | {"dtype": dtype}
    if 0 in row or len(row) > 5:
        raise StoreError(f"{store.path}: LeRobot has no place for array {key!r} of shape {row}; add without={key}")
    return dict(before) or {"dtype": kind.name, "shape": row or (1,), "names": None}


def _add(writer: DatasetWriter, store: EpisodeStore, episode: Episode, plan: DatasetPlan) -> None:
    arrays: dict[str, Any] = {}
    for key, values in episode.arrays.items():
        theirs = _theirs(store, key)
        if theirs in plan.features:
            plain = plan.features[theirs]["dtype"] in ("image", "video")
            shape = store.row(key) if plain else tuple(plan.features[theirs]["shape"])
            arrays[theirs] = np.asarray(values).reshape(len(episode), *shape)
    arrays |= episode.info.get("texts", {})
    tasks = [episode.task] * len(episode)
    if "task_index" in episode.arrays:
        tasks = [plan.tasks[int(index)] for index in episode.arrays["task_index"].reshape(-1)]
    seconds = episode.arrays.get("timestamp")
    writer.add(arrays, tasks, None if seconds is None else np.asarray(seconds).reshape(-1))


def _sidecar(store: EpisodeStore, without: Sequence[str]) -> dict[str, Any]:
    """What LeRobot has no place for."""
    infos = [{key: value for key, value in info.items() if key != "texts"} for info in store.meta["info"]]
    columns = {"seed": store.seeds.tolist(), "success": store.success.tolist()}
    columns |= {"length": np.diff(store.ends, prepend=0).tolist(), "info": infos or [{}] * store.episodes}
    episodes = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return {
        "provenance": store.meta["provenance"],
        "fingerprint": store.fingerprint,
        "arrays": {key: entry for key, entry in store.meta["arrays"].items() if key not in without},
        "dropped_seeds": store.meta["dropped_seeds"],
        "episodes": episodes,
    }


def _theirs(store: EpisodeStore, key: str) -> str:
    names: Mapping[str, str] = store.meta["provenance"].get("lerobot", {}).get("names", {})
    if not is_name(theirs := names.get(key, key)):
        raise StoreError(f"{store.path}: {str(theirs)[:80]!r} is no name for a column; add without={key}")
    return theirs
