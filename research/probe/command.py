"""``worldmodel probe``: linear probes of a checkpoint, by layer and noise level, beside their baselines."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from research.probe import report
from research.probe.config import ProbeConfig
from research.probe.features import Collection, Reading, Source, collect_features
from research.probe.linear import Score, score_probe
from research.probe.targets import Steps, draw_steps, targets
from worldmodel import checkpoint
from worldmodel.config import UserError
from worldmodel.data import EpisodeStore
from worldmodel.data.clips import Clips
from worldmodel.devices import use_threads
from worldmodel.files import write_file
from worldmodel.imagine.modes import open_clips
from worldmodel.model import WorldModel

ENOUGH = 12
"""Held-out episodes that make it worth while to probe on these alone."""


def probe(config: ProbeConfig) -> int:
    """Measure, write ``probe.json``, two plots and ``index.html`` into ``out``, and say the best of it."""
    out, console = Path(config.out), Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        found = measure(config, progress)
    out.mkdir(parents=True, exist_ok=True)
    write_file(out / "probe.json", json.dumps(found) + "\n")
    report.write(out, found)
    for line in report.lines(found):
        print(line)
    print(f"{out / 'index.html'}: plots by layer and noise level; {found['seconds']:.0f} s")
    return 0


def measure(config: ProbeConfig, progress: Progress | None = None) -> dict[str, Any]:
    """Everything that ``probe.json`` holds; see `research.probe.report` for how to read it.

    Raises UserError for a model without cameras and for data that do not fit it; CheckpointError.
    """
    config, began, threads = config.sized(), time.monotonic(), use_threads(config.threads)
    model, card = checkpoint.load(config.checkpoint).requires_grad_(False), checkpoint.card(config.checkpoint)
    store = EpisodeStore.open(config.data)
    episodes, seen = choose_episodes(store, card, config)
    clips = pixel_clips(store, model)
    chosen = draw_steps(store, episodes, config.frames, config.ahead, config.seed)
    observed_too = trained_on_noisy_observations(card)
    progress = progress or Progress(disable=True)
    reading = Reading(config.noise, observed_too, config.ahead, config.components, config.batch, config.seed)
    bar = progress.add_task("features", total=-(-len(chosen.time) // config.batch))
    found = collect_features(model, clips, chosen, reading, lambda: progress.advance(bar))
    results = _scores(found, store, chosen, config, progress)
    parts = [int(np.unique(chosen.episode[chosen.part == part]).size) for part in range(3)]
    probed = {
        target.name: {"label": target.label, "kind": target.kind, "names": list(target.names)}
        for target in targets(store, chosen.time)
    }
    return {
        "format": 1,
        "checkpoint": config.checkpoint,
        "weights": card["sha256"],
        "data": {
            "store": config.data,
            "fingerprint": store.fingerprint,
            "episodes": dict(zip(("fit", "choose", "test"), parts, strict=True)),
            "seen_in_training": seen,
            "moments": len(chosen.time),
        },
        "computed": {"dtype": "float32", "mode": "evaluation, frozen", "threads": threads},
        "config": asdict(config),
        "targets": probed,
        "results": [asdict(source) | _short(score, name) for source, name, score in results],
        "best": [asdict(source) | {"target": name} | asdict(score) for source, name, score in _best(results)],
        "seconds": round(time.monotonic() - began, 1),
    }


def choose_episodes(store: EpisodeStore, card: dict[str, Any], config: ProbeConfig) -> tuple[np.ndarray, int]:
    """Numbers of the episodes to use, and how many of them the model was trained on. Raises UserError for too few."""
    made = card.get("provenance", {})
    trained = made.get("train", {})
    mine = store.fingerprint in [source.get("fingerprint") for source in made.get("data", [])]
    cut = store.episodes - round(trained.get("holdout", 0.0) * store.episodes) if mine else 0
    first = config.first if config.first >= 0 else cut if store.episodes - cut >= ENOUGH else 0
    episodes = np.arange(first, min(first + config.episodes, store.episodes))
    if len(episodes) < 4:
        raise UserError(f"first={first}: leaves {len(episodes)} of {store.episodes} episodes, expected at least 4")
    return episodes, int((episodes < min(cut, trained.get("demonstrations", 0) or cut)).sum())


def pixel_clips(store: EpisodeStore, model: WorldModel) -> Clips:
    """The store's windows as the model wants them, window i being recorded step i. Raises UserError for a misfit."""
    shape = model.config
    if not shape.cameras:
        raise UserError("this checkpoint reads the simulator's state, not frames; probe one that was trained on pixels")
    size = store.row(f"observation.images.{shape.cameras[0]}")[0]
    if size != shape.size:
        raise UserError(
            f"{store.path} has frames of {size} px, the checkpoint wants {shape.size}; collect size={shape.size}"
        )
    return open_clips(shape, str(store.path))


def trained_on_noisy_observations(card: dict[str, Any]) -> bool:
    """Whether the model saw noise on observed frames in training, so that it means something to it."""
    law = card.get("provenance", {}).get("train", {}).get("noise", {}).get("observed", {})
    return bool(law.get("high", 0) > 0 or law.get("masked", 0) > 0)


type Results = list[tuple[Source, str, Score]]


def _scores(found: Collection, store: EpisodeStore, chosen: Steps, config: ProbeConfig, progress: Progress) -> Results:
    """A probe of every set of features for every target; future frames are probed for their own time step."""
    probed = {"observed": targets(store, chosen.time), "future": targets(store, chosen.time + config.ahead)}
    bar = progress.add_task("probes", total=len(found.parts))
    out: Results = []
    for source, features in found.features():
        out += [
            (source, target.name, score_probe(features, target, chosen, config.resamples, config.seed))
            for target in probed[source.tokens]
        ]
        progress.advance(bar)
    return out


def _best(results: Results) -> Results:
    """The layer and pooling of every kind of features, tokens, noise and target that did best on choosing episodes."""
    best: dict[tuple[str, str, float, str], tuple[Source, str, Score]] = {}
    for source, name, score in results:
        key = (name, source.tokens, source.noise, source.features)
        if key not in best or score.validation > best[key][2].validation:
            best[key] = (source, name, score)
    return list(best.values())


def _short(score: Score, target: str) -> dict[str, Any]:
    """A score without its details, which only the best ones keep."""
    kept = asdict(score)
    return {"target": target} | {key: kept[key] for key in kept if key not in ("by_name", "by_episode")}
