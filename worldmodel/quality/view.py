"""``worldmodel data view``: one HTML file with strips of frames and plots of chosen episodes, and these for Rerun."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from worldmodel.config import UserError, check_range, option
from worldmodel.data import EpisodeStore
from worldmodel.data.source import open_source
from worldmodel.files import out_folder, write_file
from worldmodel.quality import recording
from worldmodel.report import page
from worldmodel.report.plots import SHOWN, traces
from worldmodel.report.video import enlarge, inline
from worldmodel.schema import ACTION, EXECUTED, STATE, cameras_of, image_key

EDGE = 112  # Height in pixels of a frame in a strip


@dataclass(frozen=True)
class ViewConfig:
    """Which episodes of which store to show, and how."""

    store: str = option("folder of the store, or lerobot:PATH_OR_REPO_ID")
    out: str = option("folder of the page and of the recording", "outputs/view")
    episodes: str | None = option("which ones, such as 0,17,23; null takes first, longest, shortest and random", None)
    random: int = option("how many random ones beside first, longest and shortest", 3)
    seed: int = option("draws the random ones", 0)
    frames: int = option("frames in each strip", 12)
    rerun: bool = option("also write episodes.rrd for the Rerun viewer", False)
    live: bool = option("also stream into a Rerun viewer: one opened here, or the one at address=", False)
    address: str | None = option("of a running viewer, such as rerun+http://127.0.0.1:9876/proxy", None)

    def __post_init__(self) -> None:
        check_range(self, random=(0, 1000), frames=(1, 200))


def view(config: ViewConfig) -> int:
    """Write ``index.html`` (one file, nothing fetched from elsewhere) and optionally ``episodes.rrd``."""
    if config.rerun or config.live:
        recording.load_rerun()  # say at once that it is missing
    store = open_source(config.store)
    rate, chosen, out = store.rate, choose(store, config), out_folder(config.out)
    write_file(out / "index.html", render(store, chosen, config.frames, rate))
    print(f"{out / 'index.html'}: episodes {', '.join(map(str, chosen))}")
    if config.rerun:
        recording.write_file(store, chosen, out / "episodes.rrd", rate)
        print(f"{out / 'episodes.rrd'}: open it with `rerun {out / 'episodes.rrd'}`")
    if config.live:
        recording.show_live(store, chosen, rate, config.address)
        print(f"streamed to {config.address or 'the viewer'}")
    return 0


def choose(store: EpisodeStore, config: ViewConfig) -> dict[int, str]:
    """The episodes to show, each with the reason. Raises UserError for one that is not there."""
    if config.episodes is not None:
        return dict.fromkeys(_numbers(config.episodes, store.episodes), "as given")
    lengths = np.diff(store.ends, prepend=0)
    chosen = {0: "the first"}
    for episode, why in ((int(lengths.argmax()), "the longest"), (int(lengths.argmin()), "the shortest")):
        chosen[episode] = f"{chosen[episode]}, {why}" if episode in chosen else why
    rest = [episode for episode in range(store.episodes) if episode not in chosen]
    drawn = np.random.default_rng(config.seed).permutation(rest)[: config.random]
    return chosen | {int(episode): "drawn at random" for episode in sorted(drawn)}


def _numbers(text: str, count: int) -> list[int]:
    words = text.strip("[] ").replace(",", " ").split()
    wrong = [word for word in words if not word.isdigit() or int(word) >= count]
    if wrong or not words:
        what = f"no episode {wrong[0]!r}; " if wrong else ""
        raise UserError(f"episodes={text}: {what}expected numbers from 0 to {count - 1}, as in 0,1")
    return [int(word) for word in words]


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
        shown = [name for name in (key, second) if name in store.keys]
        values, *other = (np.asarray(store.array(name)[start:stop], np.float64) for name in shown)
        values, other = values.reshape(len(values), -1), [one.reshape(len(one), -1) for one in other]
        rest = values.shape[1] - SHOWN
        caption = f"{key} by dimension, in the data's own units" + (f"; {rest} more are not shown" if rest > 0 else "")
        names = [f"{key}[{number}]" for number in range(values.shape[1])]
        title = f"{key} (dashed: executed)" if other else key
        yield {"title": title, "source": traces(values, other[0] if other else None, names, rate), "caption": caption}
