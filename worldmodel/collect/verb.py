"""The verb ``collect``: what was asked, whether the folder is fit for it, and what the user is told."""

from __future__ import annotations

import os
import shlex
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

import worldmodel
from worldmodel.collect import gym_stage
from worldmodel.collect.behaviour import BEHAVIOURS, EXPERT
from worldmodel.collect.demonstrate import LATER, ExpertStage, Recipe, Stage
from worldmodel.collect.gather import Tally, gather
from worldmodel.collect.robosuite_stage import RobosuiteStage, is_robosuite, with_cameras
from worldmodel.collect.stop import StopSignal
from worldmodel.collect.worker import Job
from worldmodel.collect.workers import Workers
from worldmodel.config import UserError, closest, option
from worldmodel.data import EpisodeStore, InterruptedStoreError, StoreWriter, layout
from worldmodel.revision import revision
from worldmodel.sims.gymnasium.name import is_foreign

INTERRUPTED = 130


@dataclass(frozen=True)
class CollectConfig:
    """What to record, from which seed on, and where to."""

    out: str = option("folder of the new store; an interrupted one is resumed")
    task: str = option(
        "place_can, lift_can, several that take turns: [place_can,lift_can], robosuite:PickPlaceCan, gym:ID (any "
        "Gymnasium env with pixels and Box actions), metaworld:pick-place-v3",
        "place_can",
    )
    behaviour: str = option(
        "who moves the arm: expert; noisy: the expert, pushed about hard; play: pushes, knocks over, drops and throws "
        "the can; random: smooth motion; retrace: the expert, then what it did backwards and forwards again; mixed: 2 "
        "play, 1 expert, 1 noisy, 1 random in turn. Failures of all but the expert are kept",
        EXPERT,
    )
    expert: str = option("for gym:ID: scripted, random, or the folder of a checkpoint", "scripted")
    episodes: int = option("how many episodes to keep: the expert's successful ones, all of the others'", 200)
    seed: int = option("first seed; a failed episode of the expert is dropped and the next seed tried", 0)
    noise: float = option("strength of the exploration pushes that the expert recovers from, 0 to 2", 1.0)
    size: int = option("edge of the square camera images in pixels", 96)
    cameras: str = option("cameras to record: [scene,wrist], one of them, or [] for none", "[scene,wrist]")
    microphone: bool = option("record contact sound too, 8 kHz (observation.audio)", False)
    segmentation: bool = option(
        "record whose each pixel is too: 0 background, 1 gripper, 2 object (observation.segmentation.CAMERA)", False
    )
    tail: int = option("control steps recorded after success, so that the ending is in the data", 8)
    workers: str = option("simulator processes; auto takes one per core", "auto")
    timeout: float = option("seconds after which a silent worker is replaced", 120.0)
    licence: str = option("licence of the data, kept in the store", "Apache-2.0")

    def __post_init__(self) -> None:
        bounds = {"episodes": (1, 10**7), "seed": (0, 2**31), "noise": (0, 2), "size": (8, 1024), "tail": (0, 200)}
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name}={value}: expected {low} to {high}")
        if self.workers != "auto" and not (self.workers.isdigit() and int(self.workers) > 0):
            raise ValueError(f"workers={self.workers}: expected auto or a number above 0")
        if self.behaviour not in BEHAVIOURS:
            raise ValueError(f"behaviour={self.behaviour}: no such behaviour; {closest(self.behaviour, BEHAVIOURS)}")
        if self.timeout <= 0:
            raise ValueError(f"timeout={self.timeout}: expected seconds above 0")

    def recipe(self) -> Recipe:
        """The part that decides the content."""
        tasks, cameras = _names(self.task), _names(self.cameras)
        if not tasks:
            raise ValueError(f"task={self.task}: expected at least one task")
        recipe = Recipe(tasks, self.seed, self.episodes, self.noise, cameras, self.size, self.tail, self.microphone)
        return replace(recipe, behaviour=self.behaviour, segmentation=self.segmentation, expert=self.expert)

    def command(self) -> str:
        """The command line that says the same, without what is left at its default."""
        defaults, keys = CollectConfig(out=""), ("task", "episodes", "seed", "out")
        shown = [f"{key}={getattr(self, key)}" for key in keys]
        rest = [key for key in asdict(self) if key not in keys and getattr(self, key) != getattr(defaults, key)]
        words = [*shown, *(f"{key}={getattr(self, key)}" for key in rest)]
        return " ".join(["worldmodel collect", *map(shlex.quote, words)])


def collect(config: CollectConfig, stage: Stage = ExpertStage) -> int:
    """Record ``config.episodes`` episodes into a sealed store at ``config.out``; 130 if interrupted.

    Of the expert only successful ones are kept, of every other behaviour all.
    Running it again with the same arguments resumes an interrupted store and leaves a finished one alone. Episodes
    are stored in the order of their seeds, so the content does not depend on interruptions or on ``workers``.
    """
    recipe, path, face = config.recipe(), Path(config.out), None
    if stage is ExpertStage and gym_stage.is_gym(recipe):
        stage, (recipe, face) = gym_stage.GymStage, gym_stage.discovered(recipe)
        print("\n".join(face.lines()), flush=True)
    elif stage is ExpertStage and is_robosuite(recipe):
        stage, recipe = RobosuiteStage, with_cameras(recipe)
    elif stage is ExpertStage:
        _check(recipe)
    console = Console(stderr=True)
    if _finished(path, recipe):
        print(f"{path} is complete: {recipe.episodes} episodes; nothing to do")
        return 0
    began = time.monotonic()
    with _writer(path, recipe, config, console) as writer:
        if face is not None:
            gym_stage.note(writer, face)
        job = Job(stage, recipe, (path / layout.SPOOL).absolute(), config.timeout)
        job.spool.mkdir(exist_ok=True)
        with StopSignal() as stop, Workers(job, _count(config.workers, recipe.episodes)) as workers:
            tally = gather(writer, workers, console, stop)
        if len(writer.records) < recipe.episodes:
            _say_interrupted(path, recipe, config, tally)
            return INTERRUPTED
        if face is not None:
            gym_stage.note_relative(writer)
        writer.seal()
    _say_done(path, tally, time.monotonic() - began)
    return 0


def _check(recipe: Recipe) -> None:
    """An unknown task or camera is told before any process starts and any folder is made."""
    from worldmodel.sims.can import TASKS, EnvConfig  # here, because importing MuJoCo takes half a second

    EnvConfig(cameras=recipe.cameras, size=recipe.size)
    for task in recipe.tasks:
        if task not in TASKS:
            raise UserError(f"task={task}: no such task; {closest(task, TASKS)}")
    if recipe.expert != "scripted":
        raise UserError(f"expert={recipe.expert}: our own tasks have a scripted expert only; leave expert= out")


def _finished(path: Path, recipe: Recipe) -> bool:
    """Whether a sealed store with this very recipe is there; UserError where a different one is in the way."""
    try:
        store = EpisodeStore.open(path)
    except (FileNotFoundError, InterruptedStoreError):
        return False
    except layout.StoreError:
        if path.is_dir() and not (path / layout.GROUP).exists():
            return False  # not a store: StoreWriter.create accepts it only if it is empty
        raise
    _same_recipe(path, store.meta["provenance"].get("recipe"), recipe, "choose another out= or remove it")
    return True


def _same_recipe(path: Path, theirs: dict[str, Any] | None, ours: Recipe, advice: str) -> None:
    wanted = LATER | ours.record()
    # recipes older than a key do not mention it
    before = {"microphone": False, **LATER, **(theirs or {})}
    differ = [key for key in wanted if before.get(key) != wanted[key]]
    if differ:
        key = differ[0]
        was = before.get(key)
        raise UserError(f"{path} holds a store made with {key}={was}, asked for {key}={wanted[key]}; {advice}")


def _writer(path: Path, recipe: Recipe, config: CollectConfig, console: Console) -> StoreWriter:
    """A writer for a new store, or for the interrupted one at ``path`` if it has the same recipe."""
    if not StoreWriter.resumable(path):
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        provenance = {
            "recipe": recipe.record(),
            "command": config.command(),
            "licence": config.licence,
            "version": worldmodel.__version__,
            "code": revision(),
            "created": created,
        }
        return StoreWriter.create(path, provenance)
    writer = StoreWriter.resume(path)
    try:
        advice = "resume it with the same arguments, choose another out= or remove it"
        _same_recipe(path, writer.provenance.get("recipe"), recipe, advice)
    except UserError:
        writer.close()
        raise
    console.print(f"resuming {path}: {len(writer.records)} of {recipe.episodes} episodes are there", highlight=False)
    if writer.cut:
        console.print(f"{writer.cut} damaged episodes at its end are recorded again", highlight=False)
    return writer


def _say_interrupted(path: Path, recipe: Recipe, config: CollectConfig, tally: Tally) -> None:
    waiting = f" and {tally.waiting} more wait their turn" if tally.waiting else ""
    print(f"interrupted: {tally.stored} of {recipe.episodes} episodes are kept in {path}{waiting}")
    print(f"resume with: {config.command()}")


def _say_done(path: Path, tally: Tally, seconds: float) -> None:
    store = EpisodeStore.open(path)
    megabytes = sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file()) / 1e6
    failed = "" if store.success.all() else f"{int((~store.success).sum())} without success and kept, "
    print(
        f"{path}: {store.episodes} episodes, {store.steps} steps, {megabytes:.0f} MB, "
        f"{failed}{tally.dropped} failed and dropped, {tally.replaced} workers replaced, {seconds:.0f} s"
    )
    print(f"fingerprint {store.fingerprint}")


def _names(text: str) -> tuple[str, ...]:
    """``[a,b]``, ``a,b`` or ``a`` as a tuple of names; a Gymnasium env's may hold commas."""
    if is_foreign(text):
        return (text,)
    return tuple(name for name in (part.strip(" '\"") for part in text.strip("[] ").split(",")) if name)


def _count(workers: str, episodes: int) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores if workers == "auto" else int(workers), episodes)
