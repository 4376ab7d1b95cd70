"""A store as one HTML file that opens from disk: for a few episodes, strips of frames and plots of what moved."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from jaxtyping import Float
from PIL import Image

from worldmodel.data import EpisodeStore
from worldmodel.report import page
from worldmodel.report.video import enlarge
from worldmodel.schema import ACTION, EXECUTED, STATE, cameras_of, image_key

EDGE = 112
"""Height in pixels of a frame in a strip."""
WIDTH, HEIGHT, PLOTTED = 220, 64, 16
"""Size of a small plot in SVG units, and how many dimensions of an array are plotted at most."""
STYLE = (
    "<style>.strip img { height: auto; } .plots { display: grid; gap: 0.4rem 0.9rem; "
    "grid-template-columns: repeat(auto-fill, minmax(12rem, 1fr)); margin: 0.6rem 0; } "
    ".plots figure { margin: 0; } .plots figcaption { font-size: 0.78rem; }</style>"
)


def render(store: EpisodeStore, chosen: Mapping[int, str], moments: int, rate: float) -> str:
    """The whole page; ``chosen`` says for each episode why it is shown, ``rate`` is in control steps per second."""
    tasks = ", ".join(store.tasks)
    title = f"{tasks}: {len(chosen)} of {store.episodes} episodes"
    facts = [
        ("episodes", str(store.episodes), f"{int(store.success.sum())} successful"),
        ("steps", str(store.steps), f"{store.steps / rate / 3600:.2f} h at {rate:g} Hz"),
        ("content", store.fingerprint[:12], "fingerprint"),
    ]
    parts = [_episode(store, episode, why, moments, rate) for episode, why in chosen.items()]
    provenance = page.details("Where it came from", page.record(dict(store.meta["provenance"])))
    return page.document(title, STYLE, f"<h1>{escape(title)}</h1>", page.facts(facts), *parts, provenance)


def _episode(store: EpisodeStore, episode: int, why: str, moments: int, rate: float) -> str:
    start, stop = store.span(episode)
    steps = np.unique(np.linspace(start, stop - 1, moments).astype(int))
    outcome = '<span class="good">succeeded</span>' if store.success[episode] else '<span class="bad">failed</span>'
    task = store.tasks[int(store.task_index[episode])]
    seconds = (stop - start) / rate
    head = f"<h2>Episode {episode} <small class='muted'>{escape(why)}</small></h2>"
    words = f"<p>{escape(task)}, seed {store.seeds[episode]}, {stop - start} steps ({seconds:.1f} s), {outcome}</p>"
    strips = [
        _strip(np.asarray(store.array(image_key(camera)).take(steps)), camera, episode)
        for camera in cameras_of(dict.fromkeys(store.keys))
    ]
    times = (steps - start) / rate
    under = f"<p class='muted'>frames from {times[0]:.2f} to {times[-1]:.2f} s, evenly spaced</p>" if strips else ""
    plots = []
    for key, second in ((ACTION, EXECUTED), (STATE, None)):
        if key in store.keys:
            values = _rows(store, key, start, stop)
            other = _rows(store, second, start, stop) if second in store.keys and second is not None else None
            plots.append(f"<h3>{escape(key)}{' (dashed: executed)' if other is not None else ''}</h3>")
            plots.append(_plots(values, other, key, rate))
    return "\n".join([f"<section>{head}{words}", *strips, under, *plots, "</section>"])


def _strip(frames: np.ndarray, camera: str, episode: int) -> str:
    """Frames uint8 (n, H, W, 3) side by side, as a picture inside the page."""
    height, width = frames.shape[1:3]
    if height == width:
        frames = np.stack([enlarge(frame, EDGE) for frame in frames])
    elif height > EDGE:
        size = (max(1, width * EDGE // height), EDGE)
        frames = np.stack([np.asarray(Image.fromarray(frame).resize(size)) for frame in frames])
    return (
        f'<figure><div class="strip" tabindex="0" role="group" aria-label="{escape(camera)}, episode {episode}">'
        f'<img src="{_inline(np.concatenate(list(frames), axis=1))}" alt="{len(frames)} frames of {escape(camera)}">'
        f"</div><figcaption>{escape(camera)}</figcaption></figure>"
    )


def _inline(picture: np.ndarray) -> str:
    """A picture as a ``data:`` address."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=86)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _plots(values: Float[np.ndarray, "T n"], other: Float[np.ndarray, "T n"] | None, key: str, rate: float) -> str:
    """One small plot per dimension over the episode's time."""
    count = min(values.shape[1], PLOTTED)
    figures = [
        _plot([values[:, i]] if other is None else [values[:, i], other[:, i]], f"{key}[{i}]", rate)
        for i in range(count)
    ]
    rest = values.shape[1] - count
    more = f"<p class='muted'>and {rest} more dimensions</p>" if rest else ""
    return f'<div class="plots">{"".join(figures)}</div>{more}'


def _plot(lines: Sequence[np.ndarray], name: str, rate: float) -> str:
    finite = np.concatenate([line[np.isfinite(line)] for line in lines])
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    span = (high - low) or 1.0
    paths: list[str] = []
    for line, kind in zip(lines, ("first", "second"), strict=False):
        x = np.linspace(2, WIDTH - 2, max(len(line), 2))
        y = HEIGHT - 3 - (np.nan_to_num(line, nan=low, posinf=high, neginf=low) - low) / span * (HEIGHT - 6)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=False))
        paths.insert(0, f'<polyline class="{kind}" style="stroke-width:1.5" points="{points}"/>')
    seconds = len(lines[0]) / rate
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">{"".join(paths)}</svg>'
        f"<figcaption>{escape(name)}: {low:.4g} to {high:.4g}, {seconds:.1f} s</figcaption></figure>"
    )


def _rows(store: EpisodeStore, key: str, start: int, stop: int) -> np.ndarray:
    return np.asarray(store.array(key)[start:stop], np.float64).reshape(stop - start, -1)
