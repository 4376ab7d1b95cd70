"""What all pages share: the model and its one thread, the starts, the seats, the folder of clips."""

import asyncio
import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.config import UserError
from worldmodel.data import EpisodeStore
from worldmodel.data.source import open_source
from worldmodel.evaluate.evaluate import simulator_of
from worldmodel.evaluate.initial_states import SPLITS, Starts, StartsError, find
from worldmodel.play.imagination import Imagination
from worldmodel.play.messages import StartPoint
from worldmodel.play.recorder import ClipRecorder
from worldmodel.processes import Pool
from worldmodel.report.video import provenance
from worldmodel.schema import SIMULATOR_STATE, cameras_of
from worldmodel.sims.base import InitialState, state_hash
from worldmodel.sims.can import TASKS, get_task
from worldmodel.sims.can.scene import load_scene
from worldmodel.sims.can.tasks import check_restorable
from worldmodel.sims.make import slots_of
from worldmodel.sims.slot import Ending

TIMEOUT = 30.0
"""Seconds of silence after which a simulator's process is replaced (twice that while it starts)."""


class StartPoints:
    """Starts of one task. Raises UserError, one line, for data whose steps are no starts for MuJoCo and the model."""

    def __init__(self, task: str, data: str | None, cameras: tuple[str, ...]) -> None:
        self.task = get_task(task)
        self.scene = load_scene(self.task.scene).sha256
        self.starts: dict[str, Starts] = {}
        for split in SPLITS:
            try:
                path = find(split, task)
            except StartsError:
                continue  # none are shipped
            self.starts[split] = Starts.load(path)
            self.starts[split].check(path, task, 1, self.scene)
        self.name, self.store = data, None
        if data:
            self.store = open_source(data)
            self._check(self.store, cameras)

    def find(self, place: StartPoint) -> InitialState:
        """The simulator state and seed of a place. Raises UserError where there is none."""
        if place.kind == "seed":
            if place.number >= 2**31:
                raise UserError(f"seed {place.number}: expected at most {2**31 - 1}")
            return InitialState(place.number, place.number)
        if place.kind == "start":
            starts = self.starts.get(place.split)
            if starts is None:
                raise UserError(f"no {place.split} starts are shipped for {self.task.name}; use a seed")
            if place.number >= len(starts):
                raise UserError(f"{place.split} start {place.number}: there are 0 to {len(starts) - 1}")
            return starts.first(place.number + 1)[-1]
        return self._recorded(place)

    def choices(self) -> dict[str, Any]:
        """What there is to choose from, for the page."""
        data = None
        if self.store is not None:
            spans = [self.store.span(episode) for episode in range(self.store.episodes)]
            data = {"name": Path(str(self.name)).name, "lengths": [stop - first for first, stop in spans]}
        return {"starts": {split: len(starts) for split, starts in self.starts.items()}, "data": data}

    def _recorded(self, place: StartPoint) -> InitialState:
        if self.store is None:
            raise UserError("no data set is open; start play with data=FOLDER to begin at recorded frames")
        if place.number >= self.store.episodes:
            raise UserError(f"episode {place.number}: the data set has 0 to {self.store.episodes - 1}")
        first, stop = self.store.span(place.number)
        if place.step >= stop - first:
            raise UserError(f"step {place.step}: episode {place.number} has 0 to {stop - first - 1}")
        state = np.asarray(self.store.array(SIMULATOR_STATE)[first + place.step], np.float64)
        return InitialState(place.number, int(self.store.seeds[place.number]) % 2**31, state, state_hash(state))

    def _check(self, store: EpisodeStore, cameras: tuple[str, ...]) -> None:
        name = f"data={self.name}"
        if lacking := [camera for camera in cameras if camera not in (there := cameras_of(dict.fromkeys(store.keys)))]:
            has = ", ".join(there) or "none"
            raise UserError(f"{name}: lacks camera {lacking[0]!r}, which the checkpoint observes; it has: {has}")
        check_restorable(store, name)
        for task in store.tasks:
            if TASKS[task].scene != self.task.scene:
                raise UserError(f"{name}: task {task!r} plays in another scene than {self.task.name}")


class Server:
    """``seats`` pages at most."""

    def __init__(self, imagination: Imagination, places: StartPoints, out: Path, seats: int) -> None:
        self.imagination, self.places, self.out, self.seats = imagination, places, out, seats
        self.task = places.task.name
        self.taken = 0
        self._model = ThreadPoolExecutor(1, "model")
        self._numbers = itertools.count(1)

    async def on_model(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Run something on the model's one thread: pages take turns, each with one call at a time."""
        return await asyncio.get_running_loop().run_in_executor(self._model, call, *arguments)

    def acquire(self) -> None:
        """Take a seat. Raises UserError where none is free."""
        if self.taken >= self.seats:
            advice = f"close another page of this one, or start play with seats={self.seats + 1}"
            raise UserError(f"all {self.seats} seats are taken; {advice}")
        self.taken += 1

    def release(self) -> None:
        self.taken -= 1

    def open_simulators(self) -> Pool:
        """One simulator in a process of its own; started on the event loop's thread alone, closed by the caller."""
        spec = simulator_of(self.imagination.loaded, self.task)
        return Pool(slots_of(spec, Ending(free=True)), 1, 1, TIMEOUT)

    def open_clip(self) -> ClipRecorder:
        name = f"{self.task}-{time.strftime('%Y%m%d-%H%M%S')}-{next(self._numbers)}.mp4"
        loaded = self.imagination.loaded
        return ClipRecorder(self.out / name, loaded.cameras, provenance(loaded.name, loaded.sha256))

    def hello(self) -> dict[str, Any]:
        """What a page receives when it connects."""
        loaded = self.imagination.loaded
        model = {"task": self.task, "checkpoint": loaded.name, "weights": loaded.sha256[:12]}
        how = {"kind": self.imagination.kind, "drives": self.imagination.drives}
        return {**model, **how, "cameras": list(loaded.cameras), "size": loaded.size, **self.places.choices()}

    def first(self) -> StartPoint:
        """Where a page begins: the first validation start where there are any, else seed 0."""
        return StartPoint("start", 0) if "validation" in self.places.starts else StartPoint("seed", 0)

    def close(self) -> None:
        self._model.shutdown(wait=False, cancel_futures=True)
