"""``worldmodel data view``: a page with strips and plots of chosen episodes, and the same episodes for Rerun."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldmodel.config import UserError, check_bounds, option, out_folder
from worldmodel.data import EpisodeStore
from worldmodel.data.source import open_source
from worldmodel.files import write_file
from worldmodel.quality import recording, report_page


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
        check_bounds(self, random=(0, 1000), frames=(1, 200))


def view(config: ViewConfig) -> int:
    """Write ``index.html`` (one file, nothing fetched from elsewhere) and optionally ``episodes.rrd``."""
    if config.rerun or config.live:
        recording.load_rerun()  # say at once that it is missing
    store = open_source(config.store)
    rate, chosen, out = store.rate, choose(store, config), out_folder(config.out)
    write_file(out / "index.html", report_page.render(store, chosen, config.frames, rate))
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
