"""What a store holds, as a JSON record and as a contact sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from worldmodel.data.clips import tolerance
from worldmodel.data.store import EpisodeStore
from worldmodel.schema import ACTION, EXECUTED, cameras_of, image_key

WAVEFORM, QUIET = 32, 1e-3
"""Numbers of one control step from which an array is a waveform, and the amplitude below which it is at rest."""


def summary(store: EpisodeStore) -> dict[str, Any]:
    """Counts, sizes, ranges and provenance as a JSON record.

    rate: control steps a second. hours: of robot time. bytes: on disk. length: in control steps. actions: extremes
    and 1 and 99 % quantiles of the labels, per dimension. perturbed: share of steps whose executed action differs from
    the label (noise on every step aside). waveforms: rate in hertz, largest amplitude, share of steps not at rest.
    """
    lengths = np.diff(store.ends, prepend=0)
    record: dict[str, Any] = {
        "store": str(store.path),
        "episodes": store.episodes,
        "successes": int(store.success.sum()),
        "steps": store.steps,
        "rate": store.rate,
        "hours": store.steps / store.rate / 3600,
        "length": {"least": int(lengths.min()), "median": float(np.median(lengths)), "most": int(lengths.max())},
        "bytes": size_on_disk(store.path),
        "tasks": {name: int((store.task_index == i).sum()) for i, name in enumerate(store.tasks)},
        "seeds": [int(store.seeds.min()), int(store.seeds.max())],
        "dropped_seeds": len(store.meta["dropped_seeds"]),
        "arrays": {
            key: {"shape": [store.steps, *store.row(key)], "dtype": store.dtype(key).name} for key in store.keys
        },
        "fingerprint": store.fingerprint,
        "provenance": store.meta["provenance"],
    }
    if ACTION in store.keys:
        actions = store.array(ACTION)[:]
        quantiles = np.quantile(actions, [0, 0.01, 0.99, 1], axis=0).round(5).tolist()
        record["actions"] = dict(zip(("low", "q01", "q99", "high"), quantiles, strict=True))
        if EXECUTED in store.keys:
            off = np.abs(store.array(EXECUTED)[:] - actions)
            record["perturbed"] = float((off > tolerance(store)).any(axis=1).mean())
    record["waveforms"] = {}
    for key, entry in store.meta["arrays"].items():
        if entry["dtype"] == "float32" and len(entry["row"]) == 1 and entry["row"][0] >= WAVEFORM:
            loud = np.abs(store.array(key)[:]).max(axis=1)
            rest = {"peak": float(loud.max()), "active": float((loud > QUIET).mean())}
            record["waveforms"][key] = {"hertz": round(entry["row"][0] * store.rate)} | rest
    return record


def size_on_disk(path: Path) -> int:
    """Bytes that a folder's files occupy (holes are not counted)."""
    return sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file())


def contact_sheet(store: EpisodeStore, episodes: int = 6, columns: int = 10) -> Image.Image:
    """A picture with a row per camera of evenly chosen episodes and a column per evenly spaced step.

    Raises ValueError where the store has no images.
    """
    cameras = cameras_of(store.meta["arrays"])
    if not cameras:
        raise ValueError(f"{store.path} holds no images, so there is no contact sheet to draw")
    strips = []
    for episode in np.unique(np.linspace(0, store.episodes - 1, episodes).astype(int)):
        start, stop = store.span(int(episode))
        steps = np.linspace(start, stop - 1, columns).astype(int)
        frames = [np.concatenate(list(store.array(image_key(camera)).take(steps)), axis=1) for camera in cameras]
        title = Image.new("RGB", (frames[0].shape[1], 14), "white")
        task = store.tasks[store.task_index[episode]]
        text = f"episode {episode}  seed {store.seeds[episode]}  {task}  {stop - start} steps"
        ImageDraw.Draw(title).text((3, 1), text, fill="black")
        strips += [np.asarray(title), *frames]
    return Image.fromarray(np.concatenate(strips))
