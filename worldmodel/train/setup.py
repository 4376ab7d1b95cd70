"""A training run made ready: data opened, learner built or restored, everything checked before the first step."""

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

import torch

from worldmodel import __version__, checkpoint, legacy
from worldmodel.assets import revision
from worldmodel.config import leaves
from worldmodel.data.card import origin
from worldmodel.data.clips import Clips, ClipSpec
from worldmodel.data.features import channels_of, open_features, recipe_of
from worldmodel.data.on_device import ClipsOnDevice
from worldmodel.data.source import frame_side, open_sources, tasks_of
from worldmodel.data.store import EpisodeStore
from worldmodel.data.verification import check_whole
from worldmodel.devices import choose_device
from worldmodel.files import lock, recover
from worldmodel.model import ModelConfig
from worldmodel.model_card import read_card
from worldmodel.schema import ACTION, ENVIRONMENT_STATE, STATE, cameras_of
from worldmodel.settings import keep
from worldmodel.tokens.language import vocabulary
from worldmodel.tokens.listed import complete
from worldmodel.train.config import TrainConfig, ValidationConfig
from worldmodel.train.log import Log, say, tracker
from worldmodel.train.state import CARD, TrainState, build, saved
from worldmodel.train.step import Batches
from worldmodel.train.validate import fitting

LOCK = ".lock"
MAY_CHANGE = (
    "out", "steps", "save_every", "save_dtype", "keep", "device", "compile", "cache_in_memory", "cache_on_device",
    "log", "validation",
)  # fmt: skip
"""Keys that a run may change when it is resumed: how long, where and how fast, not what is learned."""


@dataclass(frozen=True)
class Run:
    """A training run: where it writes, what it learns from, and the learner itself.

    provenance: for cards. lock: until it is closed, no other process writes into ``out``.
    """

    config: TrainConfig
    out: Path
    learner: TrainState
    batches: Batches
    held_out: Clips | None
    log: Log
    provenance: Mapping[str, object]
    validation: ValidationConfig
    lock: IO[bytes]

    def save(self) -> None:
        """Checkpoint the whole state, and export the averaged weights."""
        self.learner.save(self.out / "states", {"train": asdict(self.config), "provenance": dict(self.provenance)})
        self.export()

    def export(self) -> None:
        """Write the averaged weights as models that act."""
        card = dict(self.provenance) | {"steps": self.learner.step, "seconds": self.log.seconds()}
        folders = ["model", *([f"models/{self.learner.step:08d}"] if self.config.keep else [])]
        for folder in folders:
            checkpoint.save(self.learner.ema, self.out / folder, card, getattr(torch, self.config.save_dtype))

    def exported(self) -> bool:
        """Whether the exported weights are there, whole, and of the present step."""
        try:
            card = checkpoint.read_folder(self.out / "model", checkpoint.WEIGHTS, checkpoint.CARD)[1]
        except (checkpoint.CheckpointError, OSError):
            return False
        return bool(checkpoint.provenance_of(card).get("steps") == self.learner.step)


def prepare(config: TrainConfig) -> Run:
    """Open the data, build or restore the learner and check that everything fits, before anything is written."""
    torch.set_float32_matmul_precision("high")
    stores = open_sources(config.data, config.size)
    for store in stores:
        check_whole(store)
        if left := getattr(getattr(store, "store", store), "left_out", None):
            say(f"{store.path}: left out, no pictures of three colours or language: {', '.join(left)}")
    device = torch.device(choose_device(config.device))
    shape = shape_of_data(ModelConfig(backbone=config.backbone, patch=config.patch), config, stores)
    validation = fitting(config.validation, shape.tasks)
    spec = ClipSpec(shape.cameras, shape.chunk_size, shape.tasks, shape.states, shape.recorded)
    features = []
    if config.objective.spec.external and config.features:
        features = open_features(config.features, stores, shape.cameras, shape.size // shape.patch)
    clips = Clips(stores, spec, config.holdout, most=config.demonstrations, features=features)
    if not clips.demonstrated.any() and config.modes.policy + config.modes.joint > 0:
        known = {info["behaviour"] for store in stores for info in store.meta["info"] or () if "behaviour" in info}
        raise ValueError(
            f"{config.data} holds no demonstrations, only {', '.join(sorted(known))}: add data collected with "
            "behaviour=expert, or set modes.policy=0 and modes.joint=0"
        )
    spared = any(round(config.holdout * store.episodes) for store in stores)  # a handful of episodes spares none
    held_out = Clips(stores, spec, config.holdout, split="held out", features=features) if spared else None
    record = provenance(config, stores, features, device)
    learner = build(shape, config, channels_of(features[0]) if features else 0, device)
    out = Path(config.out)
    if states := saved(out / "states"):
        _same_run(config, states[-1])
        learner.restore(states[-1])
        say(f"resuming {out} at step {learner.step} of {config.steps}")
    else:
        learner.fit(clips, config.seed)
        if config.init:
            learner.begin_from(config.init)
    held = _claim(out, states)
    keep(out, config)
    if config.cache_in_memory and not config.cache_on_device:
        clips.load()
    data = ClipsOnDevice(clips, device) if config.cache_on_device else clips
    log = Log(out, learner.step, tracker(config.log.tracker, out, asdict(config)))
    size = sum(p.numel() for p in learner.model.parameters())
    say(f"{len(clips):,} windows, {size / 1e6:.2f} M parameters, {device.type}")
    batches = Batches(data, learner.model, config, device)
    run = Run(config, out, learner, batches, held_out, log, record, validation, held)
    if states and not run.exported():
        run.export()  # a crash, or a full disk, between a state and its export
    return run


def shape_of_data(base: ModelConfig, config: TrainConfig, stores: Sequence[EpisodeStore]) -> ModelConfig:
    """``base`` with what data and training decide: cameras, sizes, widths, rate, tasks, and what the model is to do.

    Raises ValueError, one line, where there are no frames, or frames of a size that the model cannot take.
    """
    first = stores[0]
    pixels = config.inputs == "pixels"
    cameras = cameras_of(dict.fromkeys(first.keys)) if pixels else ()
    tasks = tasks_of(stores, config.tasks, TrainConfig.tasks)
    states = (STATE,) if pixels else (STATE, ENVIRONMENT_STATE)
    if pixels and not cameras:
        raise ValueError(f"{first.path} has no camera frames (arrays: {', '.join(first.keys)}); collect with cameras")
    return replace(
        base,
        cameras=cameras,
        size=frame_side(first, cameras, config.patch) if cameras else 96,
        action_dim=first.row(ACTION)[0],
        relative=min(first.relative, first.row(ACTION)[0], first.row(STATE)[0]),
        control_hz=first.rate,
        states=states,
        state_dim=sum(first.row(key)[0] for key in states),
        tasks=tasks,
        modalities=config.modalities,
        words=vocabulary(tasks) if config.language else (),
        **duties(config),
    )


def duties(config: TrainConfig) -> dict[str, Any]:
    """What a config of training decides of the model: how it samples, what it continues, how it rolls out."""
    return {
        "sampler": config.objective.spec.sampler,
        "prefix": 0 if config.objective.spec.passes else config.noise.actions.prefix,
        "window": config.rollout.window if config.modes.rollout > 0 and not config.rollout.memory else 0,
        "memory": config.rollout.memory if config.modes.rollout > 0 else (),
        "shift": config.rollout.shift,
    }


def provenance(
    config: TrainConfig, stores: Sequence[EpisodeStore], features: Sequence[EpisodeStore], device: torch.device
) -> dict[str, Any]:
    """The record of a run, as JSON. Raises StoreError for a data card and CheckpointError for ``init`` unreadable."""
    return {
        "command": "worldmodel " + " ".join(sys.argv[1:]),
        "version": __version__,
        "code": revision(),
        "data": [origin(store) for store in stores],
        "features": [recipe_of(f) for f in features],
        "init": checkpoint.card(config.init) if config.init else None,
        "hardware": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, {device.type}",
        "torch": torch.__version__,
        "train": asdict(config),
    }


def _claim(out: Path, states: Sequence[Path]) -> IO[bytes]:
    """Make ``out`` this process's own; ValueError where another writes there, or has since its states were read."""
    out.mkdir(parents=True, exist_ok=True)
    held = lock(out / LOCK)
    if held is None or saved(out / "states") != states:
        raise ValueError(f"out={out}: is being written by another process; wait for it or choose another out=")
    for folder in (out, out / "states", out / "models"):
        recover(folder)
    return held


def _same_run(config: TrainConfig, state: Path) -> None:
    """A run may be prolonged or shortened, not silently turned into another one. Keys that it did not know are new."""
    theirs = legacy.saved("train", read_card(state, CARD).get("train", {}))
    run, had, have = state.parent.parent, complete(theirs.get("modalities") or {}), config.modalities
    if "modalities" in theirs and list(had) != list(have):
        raise ValueError(f"{run} was trained with modalities={[*had]}, not {[*have]}; use another out=")
    before = dict(leaves(theirs | {"modalities": had}))
    now = dict(leaves(json.loads(json.dumps(asdict(config)))))
    for key, value in before.items():
        if key.partition(".")[0] not in MAY_CHANGE and key in now and value != now[key]:
            raise ValueError(f"{run} was trained with {key}={value}, not {now[key]}; use another out=")
