"""The command ``collect``: options, checks of the folder, and what is printed."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

import worldmodel
from worldmodel.assets import revision
from worldmodel.collect.config import EARLIER, EXPERTS, LATER, MIXED, CollectConfig, CollectionSpec
from worldmodel.collect.loop import collect_episodes
from worldmodel.collect.workers import Job, Workers
from worldmodel.config import UserError
from worldmodel.data import EpisodeStore, InterruptedStoreError, StoreWriter, layout
from worldmodel.data.formats.conventions import relative_dimensions
from worldmodel.data.inspect import size_on_disk
from worldmodel.interrupt import StopSignal
from worldmodel.schema import ACTION, STATE
from worldmodel.sims.base import EXPERT, EnvInfo
from worldmodel.sims.make import check, describe, find

INTERRUPTED = 130


def collect(config: CollectConfig) -> int:
    """Record ``config.episodes`` episodes into a sealed store at ``config.out``; 130 if interrupted.

    Of the expert only successful ones are kept, of every other behaviour all. Run again, it resumes an interrupted
    store and leaves a finished one alone. Episodes are stored in the order of their seeds, so the content depends
    neither on interruptions nor on ``workers``.
    """
    path, (recipe, info) = Path(config.out), settled(config.recipe())
    for line in info.lines:
        print(line, flush=True)
    console = Console(stderr=True)
    if _finished(path, recipe):
        print(f"{path} is complete: {recipe.episodes} episodes; nothing to do")
        return 0
    began = time.monotonic()
    with _writer(path, recipe, config, console) as writer:
        if info.action_range is not None:
            low, high = map(list, info.action_range)
            writer.note(rate=info.rate, action_range={"low": low, "high": high})
        simulators = {task: recipe.simulator(task) for task in recipe.tasks}
        job = Job(recipe, simulators, (path / layout.SPOOL).absolute(), config.timeout)
        job.spool.mkdir(exist_ok=True)
        with StopSignal() as stop, Workers(job, _count(config.workers, recipe.episodes)) as workers:
            waiting = collect_episodes(writer, workers, console, stop, config.give_up)
        if len(writer.records) < recipe.episodes:
            more = f" and {waiting} more wait their turn" if waiting else ""
            print(f"interrupted: {len(writer.records)} of {recipe.episodes} episodes are kept in {path}{more}")
            print(f"resume with: {config.command()}")
            return INTERRUPTED
        if info.action_range is not None:
            # How many leading dimensions of the actions are targets for the same dimensions of the state
            writer.note(relative=relative_dimensions(writer.read(ACTION), writer.read(STATE)))
        writer.seal()
    store = EpisodeStore.open(path)
    failed = "" if store.success.all() else f"{int((~store.success).sum())} without success and kept, "
    lost = f"{workers.replaced} workers replaced, {time.monotonic() - began:.0f} s"
    print(
        f"{path}: {store.episodes} episodes, {store.steps} steps, {size_on_disk(path) / 1e6:.0f} MB, "
        f"{failed}{len(writer.dropped)} failed and dropped, {lost}"
    )
    print(f"fingerprint {store.fingerprint}")
    if place := store.not_finite():
        print(f"note: {place} is not finite, so nothing trains on it; `worldmodel data health {path}` shows all")
    return 0


def settled(recipe: CollectionSpec) -> tuple[CollectionSpec, EnvInfo]:
    """The recipe with the simulator's own cameras where none were chosen, and what the first task's turned out to be.

    Raises UserError or ValueError before anything is written: no such task, camera, expert, behaviour or key.
    """
    for task in recipe.tasks:
        simulator = find(recipe.simulator(task))
        if len(recipe.tasks) > 1 and not simulator.mixes:
            names = ",".join(recipe.tasks)
            raise UserError(f"task={names}: one env at a time; collect several stores and train on all of them")
        _check_expert(recipe, task, simulator.experts(task))
        check(recipe.simulator(task))
        if recipe.behaviour not in (EXPERT, *simulator.behaviours, *([MIXED] if len(simulator.behaviours) > 1 else [])):
            raise UserError(f"behaviour={recipe.behaviour}: {task} has only behaviour=expert; leave behaviour= out")
    info, _ = describe(recipe.simulator(recipe.tasks[0]))
    _check_expert(recipe, info.task, info.experts)
    return replace(recipe, cameras=info.cameras), info


def _check_expert(recipe: CollectionSpec, task: str, experts: tuple[str, ...]) -> None:
    """UserError where a task has no such expert, or where there is no such checkpoint or none that knows the task."""
    name = recipe.expert
    if name in EXPERTS:
        if name not in experts:
            which = f"give expert={experts[0]} or a checkpoint's folder" if experts else "choose another task"
            raise UserError(f"task={task}: has no {name} expert that we know of; {which}")
        return
    if not Path(name).is_dir():
        raise UserError(f"expert={name}: expected scripted, random or the folder of a checkpoint")
    from worldmodel import checkpoint  # here, because it takes two seconds

    if task not in (known := checkpoint.load(name).config.tasks):
        raise UserError(f"expert={name}: was trained for {', '.join(known)}, not for {task}")


def _finished(path: Path, recipe: CollectionSpec) -> bool:
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


def _same_recipe(path: Path, theirs: dict[str, Any] | None, ours: CollectionSpec, advice: str) -> None:
    wanted = LATER | ours.record()
    before = EARLIER | LATER | (theirs or {})
    for key, value in wanted.items():
        if (was := before.get(key)) != value:
            raise UserError(f"{path} holds a store made with {key}={was}, expected {key}={value}; {advice}")


def _writer(path: Path, recipe: CollectionSpec, config: CollectConfig, console: Console) -> StoreWriter:
    """A writer for a new store, or for the interrupted one at ``path`` if it has the same recipe."""
    if not StoreWriter.resumable(path):
        made = {"recipe": recipe.record(), "command": config.command(), "licence": config.licence}
        made |= {"version": worldmodel.__version__, "code": revision()}
        made |= {"created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        return StoreWriter.create(path, made)
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


def _count(workers: str, episodes: int) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores if workers == "auto" else int(workers), episodes)
