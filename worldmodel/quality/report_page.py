"""A store as one HTML file that opens from disk: for a few episodes, strips of frames and plots of what moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from PIL import Image

from worldmodel.data import EpisodeStore
from worldmodel.report import page
from worldmodel.report.plots import SHOWN, traces
from worldmodel.report.video import enlarge, inline
from worldmodel.schema import ACTION, EXECUTED, STATE, cameras_of, image_key

EDGE = 112  # Height in pixels of a frame in a strip


def render(store: EpisodeStore, chosen: Mapping[int, str], frames: int, rate: float) -> str:
    """The whole page; ``chosen`` says for each episode why it is shown, ``rate`` is in control steps per second."""
    return page.render(
        "episodes.html",
        title=f"{', '.join(store.tasks)}: {len(chosen)} of {store.episodes} episodes",
        tiles=[
            ("episodes", str(store.episodes), f"{int(store.success.sum())} successful"),
            ("steps", str(store.steps), f"{store.steps / rate / 60:.1f} min at {rate:g} Hz"),
            ("content", store.fingerprint[:12], "fingerprint"),
        ],
        episodes=[_episode(store, episode, why, frames, rate) for episode, why in chosen.items()],
        provenance=dict(store.meta["provenance"]),
    )


def _episode(store: EpisodeStore, episode: int, why: str, frames: int, rate: float) -> dict[str, Any]:
    start, stop = store.span(episode)
    steps = np.unique(np.linspace(start, stop - 1, frames).astype(int))
    task, times = store.tasks[int(store.task_index[episode])], (steps - start) / rate
    return {
        "index": episode,
        "why": why,
        "success": bool(store.success[episode]),
        "about": f"{task}, seed {store.seeds[episode]}, {stop - start} steps ({(stop - start) / rate:.1f} s)",
        "strips": [
            {"camera": camera, "count": len(steps), "source": _strip(store.array(image_key(camera)).take(steps))}
            for camera in cameras_of(dict.fromkeys(store.keys))
        ],
        "times": f"frames from {times[0]:.2f} to {times[-1]:.2f} s, evenly spaced",
        "plots": list(_plots(store, start, stop, rate)),
    }


def _strip(frames: np.ndarray) -> str:
    """Frames uint8 (n, H, W, 3) side by side, as a picture inside the page."""
    frames = np.asarray(frames)
    height, width = frames.shape[1:3]
    if height == width:
        frames = np.stack([enlarge(frame, EDGE) for frame in frames])
    elif height > EDGE:
        size = (max(1, width * EDGE // height), EDGE)
        frames = np.stack([np.asarray(Image.fromarray(frame).resize(size)) for frame in frames])
    return inline(np.concatenate(list(frames), axis=1))


def _plots(store: EpisodeStore, start: int, stop: int, rate: float) -> Iterator[dict[str, str]]:
    """Actions and states over the episode's time, a small plot per dimension."""
    for key, second in ((ACTION, EXECUTED), (STATE, None)):
        if key not in store.keys:
            continue
        values = _rows(store, key, start, stop)
        other = _rows(store, second, start, stop) if second in store.keys and second is not None else None
        rest = values.shape[1] - SHOWN
        caption = f"{key} by dimension, in the data's own units" + (f"; {rest} more are not shown" if rest > 0 else "")
        names = [f"{key}[{number}]" for number in range(values.shape[1])]
        title = f"{key} (dashed: executed)" if other is not None else key
        yield {"title": title, "source": traces(values, other, names, rate), "caption": caption}


def _rows(store: EpisodeStore, key: str, start: int, stop: int) -> np.ndarray:
    return np.asarray(store.array(key)[start:stop], np.float64).reshape(stop - start, -1)
