"""The training loop."""

from __future__ import annotations

import json
import math
import platform
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from worldmodel import __version__, checkpoint
from worldmodel.config import leaves
from worldmodel.data import EpisodeStore
from worldmodel.data.card import origin
from worldmodel.data.clips import Clips, ClipSpec
from worldmodel.data.features import channels_of, open_features, recipe_of
from worldmodel.data.source import frame_side, open_sources, tasks_of
from worldmodel.model import ModelConfig
from worldmodel.revision import revision
from worldmodel.schema import ACTION, ENVIRONMENT_STATE, STATE, cameras_of
from worldmodel.tokens.audio import AudioConfig
from worldmodel.tokens.sentences import vocabulary
from worldmodel.train.ahead import ahead_of, upcoming
from worldmodel.train.config import TrainConfig, ValidationConfig
from worldmodel.train.diagnostics import diagnose, saturation
from worldmodel.train.log import Log, say, tracker
from worldmodel.train.optimiser import average
from worldmodel.train.picture import draw_batch
from worldmodel.train.state import CARD, Learner, build, saved
from worldmodel.train.step import Batches, losses
from worldmodel.train.validate import closed_loop, fitting, held_out_loss

MAY_CHANGE = ("out", "steps", "save_every", "save_dtype", "keep", "device", "compile", "resident", "log", "validation")
"""Keys that a run may change when it is resumed: how long, where and how fast, not what is learned."""


def train(config: TrainConfig) -> None:
    """Train a world model, or go on with one: the same command with the same ``out`` resumes exactly."""
    run = prepare(config)
    learner, batches, log = run.learner, run.batches, run.log
    fast, plain = losses(learner.model, learner.ema, config)
    draws = upcoming(batches.draw, learner.step, config.steps, ahead_of(batches.device))
    with closing(draws), run.progress() as progress, interruptible() as asked_to_stop:
        bar = progress.add_task("train", total=config.steps, completed=learner.step, note="compiling the first step")
        while learner.step < config.steps:
            mode, clip, noise = next(draws)
            if learner.step == 0:
                draw_batch(clip, run.out / "first_batch.png", learner.model.config.cameras)

            found = (fast if mode == "policy" else plain)(clip, mode, noise)
            found["loss"].backward()
            norm = learner.optimiser.update(learner.step)
            average(learner.ema, learner.model, learner.step, config.optimiser.ema)
            learner.step += 1

            log.add(mode, found, norm, len(clip.state))
            if learner.step % config.log.every == 0:
                told = diagnose(learner, plain, (mode, clip, noise), config.objective)
                row = log.flush(learner.step, {"rate": learner.optimiser.fraction(learner.step)} | told)
                _check(row, run.out)
                if warning := saturation(log.rows, config.steps):
                    say(warning)
                progress.update(bar, note=_note(row))
                if not progress.console.is_terminal:
                    say(f"step {learner.step} of {config.steps} · {_note(row)}")
            if learner.step % config.save_every == 0 or learner.step == config.steps or asked_to_stop:
                run.save()
            if run.validation.every and learner.step % run.validation.every == 0 and not asked_to_stop:
                log.write({"step": learner.step} | closed_loop(run.out, learner.step, run.validation))
                log.plot()
            progress.update(bar, completed=learner.step)
            if asked_to_stop:
                say(f"stopped after step {learner.step}, saved; the same command goes on from there")
                raise KeyboardInterrupt
    say(f"trained {learner.step} steps; averaged weights in {run.out / 'model'}, log and plot in {run.out}/metrics.*")


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """A list that the first Ctrl-C fills, so that a step is never cut in half; the second one stops at once."""
    asked: list[int] = []

    def note(number: int, _: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass(frozen=True)
class Run:
    """A training run: where it writes, what it learns from, and the learner itself."""

    config: TrainConfig
    out: Path
    learner: Learner
    batches: Batches
    held_out: Clips | None
    log: Log
    made: Mapping[str, object]
    validation: ValidationConfig

    def save(self) -> None:
        """Checkpoint the whole state, export the averaged weights, note the held-out loss and redraw the plot."""
        if self.held_out is not None:
            self.log.write({"step": self.learner.step} | held_out_loss(self.learner.ema, self.held_out, self.batches))
        self.learner.save(self.out / "states", {"train": asdict(self.config), "made": dict(self.made)})
        card = dict(self.made) | {"steps": self.learner.step, "seconds": self.log.seconds()}
        folders = ["model", *([f"models/{self.learner.step:08d}"] if self.config.keep else [])]
        for folder in folders:
            checkpoint.save(self.learner.ema, self.out / folder, card, getattr(torch, self.config.save_dtype))
        self.log.plot()

    @staticmethod
    def progress() -> Progress:
        """The bar: steps, time left, samples/s and losses."""
        columns = (TextColumn("train"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        return Progress(*columns, TextColumn("{task.fields[note]}"))


def prepare(config: TrainConfig) -> Run:
    """Open the data, build or restore the learner and check that everything fits, before anything is written."""
    torch.set_float32_matmul_precision("high")
    stores = open_sources(config.data, config.size)
    device = _device(config.device)
    shape = _model_config(config, stores)
    validation = fitting(config.validation, shape.tasks)
    heard = shape.audio.steps if shape.audio else 0
    spec = ClipSpec(shape.cameras, shape.horizon, shape.tasks, shape.states, heard)
    features = _features(config, stores, shape)
    clips = Clips(stores, spec, config.holdout, most=config.demonstrations, features=features)
    if not clips.demonstrated.any() and config.modes.policy + config.modes.joint > 0:
        raise ValueError(
            f"{config.data} holds no demonstrations, only {', '.join(behaviours(stores))}: add data collected with "
            "behaviour=expert, or set modes.policy=0 and modes.joint=0"
        )
    spared = any(round(config.holdout * store.episodes) for store in stores)  # a handful of episodes spares none
    held_out = Clips(stores, spec, config.holdout, split="held out", features=features) if spared else None
    made = {
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
    learner = build(shape, config, channels_of(features[0]) if features else 0, device)
    out = Path(config.out)
    if states := saved(out / "states"):
        _same_run(config, states[-1])
        learner.restore(states[-1])
        say(f"resuming {out} at step {learner.step} of {config.steps}")
    else:
        learner.fit(*(torch.as_tensor(some).to(device) for some in clips.sample(20_000, config.seed)))
        learner.fit_language()
        if shape.window:
            learner.fit_body(torch.as_tensor(clips.changes(20_000, config.seed)).to(device))
        if heard:
            learner.fit_audio(torch.as_tensor(clips.sounds(20_000, config.seed)).to(device))
        if config.init:
            learner.begin_from(config.init)
    out.mkdir(parents=True, exist_ok=True)
    if config.resident:
        clips.load()
    log = Log(out, learner.step, tracker(config.log.tracker, out, asdict(config)))
    say(f"{len(clips):,} windows, {learner.size() / 1e6:.2f} M parameters, {device.type}")
    batches = Batches(clips, learner.model, config, device)
    return Run(config, out, learner, batches, held_out, log, made, validation)


def _model_config(config: TrainConfig, stores: list[EpisodeStore]) -> ModelConfig:
    """The model that the data asks for: its cameras, frame size, state and action widths."""
    first = stores[0]
    pixels = config.inputs == "pixels"
    cameras = cameras_of(dict.fromkeys(first.keys)) if pixels else ()
    tasks = tasks_of(stores, config.tasks, TrainConfig.tasks)
    states = (STATE,) if pixels else (STATE, ENVIRONMENT_STATE)
    if pixels and not cameras:
        raise ValueError(f"{first.path} has no camera frames (arrays: {', '.join(first.keys)}); collect with cameras")
    return ModelConfig(
        backbone=config.backbone,
        cameras=cameras,
        size=frame_side(first, cameras, config.patch) if cameras else 96,
        patch=config.patch,
        action_dim=first.row(ACTION)[0],
        relative=min(first.relative, first.row(ACTION)[0], first.row(STATE)[0]),
        rate=first.rate,
        states=states,
        state_dim=sum(first.row(key)[0] for key in states),
        tasks=tasks,
        sampler=config.objective.arm.sampler,
        prefix=0 if config.objective.arm.passes else config.noise.actions.prefix,
        audio=AudioConfig() if config.audio else None,
        words=vocabulary(tasks) if config.language else (),
        window=config.stream.window if config.modes.stream > 0 else 0,
        warp=config.warp,
        shift=config.stream.shift,
    )


def behaviours(stores: list[EpisodeStore]) -> list[str]:
    """Who acted in the recordings, where these say so."""
    return sorted({info["behaviour"] for store in stores for info in store.meta["info"] or () if "behaviour" in info})


def _features(config: TrainConfig, stores: list[EpisodeStore], shape: ModelConfig) -> list[EpisodeStore]:
    """Where the objective imitates a frozen encoder: its features of each store's frames."""
    if not config.objective.arm.external or not config.features:
        return []
    return open_features(config.features, stores, shape.cameras, shape.size // shape.patch)


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device=cuda: no GPU that torch can use here; expected device=cpu or device=auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _same_run(config: TrainConfig, state: Path) -> None:
    """A run may be prolonged or shortened, not silently turned into another one. Keys that it did not know are new."""
    try:
        card = json.loads((state / CARD).read_text())
    except ValueError:
        return  # damaged: restoring says so
    before, now = (dict(leaves(value)) for value in (card.get("train", {}), json.loads(json.dumps(asdict(config)))))
    for key, value in before.items():
        if key.partition(".")[0] not in MAY_CHANGE and key in now and value != now[key]:
            run = state.parent.parent
            raise ValueError(f"{run} was trained with {key}={value}, not {now[key]}; use another out=")


def _check(row: Mapping[str, float], out: Path) -> None:
    """Stop at once when a loss is no longer a number: nothing after it is worth saving."""
    for name, value in row.items():
        if not math.isfinite(value):
            raise ValueError(f"{name}={value} at step {row['step']}: training diverged; lower optimiser.rate ({out})")


def _note(row: Mapping[str, float]) -> str:
    """Speed and the losses of the last interval, for the progress bar."""
    parts = [f"{name} {value:.4f}" for name, value in row.items() if name in ("policy/actions", "forward/frames")]
    return " · ".join([f"{row['samples_per_second']:.0f} samples/s", *parts])
