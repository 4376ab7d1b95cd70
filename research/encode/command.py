"""``worldmodel encode``: features of every frame of a store, episode by episode, into a sealed store beside it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import worldmodel
from research.encode.config import ENCODERS, EncodeConfig
from research.encode.encoder import Encoder
from worldmodel.config import UserError
from worldmodel.data import EpisodeStore, InterruptedStoreError, StoreWriter
from worldmodel.data.features import channels_of
from worldmodel.data.layout import feature_key
from worldmodel.data.source import frame_side, open_source
from worldmodel.schema import Episode, cameras_of, image_key

INTERRUPTED = 130
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def encode(config: EncodeConfig) -> int:
    """Write the features of all frames of ``config.data`` to ``config.out``; 130 if interrupted.

    The result is an EpisodeStore with the same episodes (see ``worldmodel.data.features``). Running it again with the
    same arguments resumes an interrupted one and leaves a finished one alone.

    Raises UserError where the encoder cannot be had, or where ``out`` holds something else.
    """
    store, out = open_source(config.data, config.size), Path(config.out)
    cameras, side = _frames(store, config.patch)
    grid = side // config.patch
    encoder = Encoder(config.encoder, grid, config.detail, config.weights, _device(config.device), DTYPES[config.dtype])
    recipe = {
        "data": store.fingerprint,
        "episodes": store.episodes,
        "encoder": config.encoder,
        "frame": side,
        "grid": grid,
        "detail": config.detail,
        "dtype": config.dtype,
        "model": ENCODERS[config.encoder].model,
        "weights": encoder.digest,  # last: the rest explains a difference better
    }
    if _finished(out, recipe):
        print(f"{out} is complete: {store.episodes} episodes; nothing to do")
        return 0
    began = time.monotonic()
    with _writer(out, recipe, config, store) as writer:
        try:
            _encode(store, cameras, encoder, writer, config.batch)
        except KeyboardInterrupt:
            print(f"interrupted: {len(writer.records)} of {store.episodes} episodes are kept in {out}")
            print(f"resume with: {config.command()}")
            return INTERRUPTED
        writer.seal()
    made = EpisodeStore.open(out)
    size = f"{grid} x {grid} places, {channels_of(made)} channels"
    print(f"{out}: {made.episodes} episodes, {made.steps} steps, {size}, {time.monotonic() - began:.0f} s")
    print(f"train with: objective.name=repa features={out}")
    return 0


def _encode(store: EpisodeStore, cameras: tuple[str, ...], encoder: Encoder, writer: StoreWriter, batch: int) -> None:
    """Append the features of every episode that ``writer`` does not have yet."""
    columns = (TextColumn("encode"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("encode", total=store.steps, completed=writer.steps)
        for number in range(len(writer.records), store.episodes):
            start, stop = store.span(number)
            parts: dict[str, list[np.ndarray]] = {feature_key(camera): [] for camera in cameras}
            for first in range(start, stop, batch):
                last = min(first + batch, stop)
                for camera in cameras:
                    parts[feature_key(camera)].append(encoder(store.array(image_key(camera))[first:last]))
                progress.update(bar, completed=last)
            arrays = {key: np.concatenate(values) for key, values in parts.items()}
            task, seed = store.tasks[int(store.task_index[number])], int(store.seeds[number])
            writer.append(Episode(arrays, task, seed, bool(store.success[number])))


def _frames(store: EpisodeStore, patch: int) -> tuple[tuple[str, ...], int]:
    """The store's cameras, and the side of their frames in pixels."""
    cameras = cameras_of(dict.fromkeys(store.keys))
    if not cameras:
        raise UserError(f"{store.path} has no camera frames (arrays: {', '.join(store.keys)}); collect with cameras")
    return cameras, frame_side(store, cameras, patch)


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda: no GPU that torch can use here; expected device=cpu or device=auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _finished(path: Path, recipe: dict[str, Any]) -> bool:
    """Whether these very features are there; UserError where others are in the way."""
    try:
        made = EpisodeStore.open(path)
    except (FileNotFoundError, InterruptedStoreError):
        return False
    except ValueError:
        if path.is_dir() and not any(path.iterdir()):
            return False
        raise
    _same(path, made.meta["provenance"].get("recipe"), recipe)
    return True


def _same(path: Path, theirs: dict[str, Any] | None, ours: dict[str, Any]) -> None:
    for key, value in ours.items():
        if (was := (theirs or {}).get(key)) != value:
            raise UserError(f"{path} was made with {key}={was}, not {value}; choose another out= or remove it")


def _writer(path: Path, recipe: dict[str, Any], config: EncodeConfig, store: EpisodeStore) -> StoreWriter:
    """A writer for new features, or for the interrupted ones at ``path`` if they have the same recipe."""
    if not StoreWriter.resumable(path):
        provenance = {
            "recipe": recipe,
            "command": config.command(),
            "licence": store.meta["provenance"].get("licence", "unknown"),
            "encoder_licence": ENCODERS[config.encoder].licence,
            "version": worldmodel.__version__,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        return StoreWriter.create(path, provenance)
    writer = StoreWriter.resume(path)
    try:
        _same(path, writer.provenance.get("recipe"), recipe)
    except UserError:
        writer.close()
        raise
    Console(stderr=True).print(f"resuming {path}: {len(writer.records)} of {store.episodes} episodes are there")
    return writer
