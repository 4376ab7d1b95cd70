"""What all pages share: the model and its one thread, the starts, the seats, the folder of clips."""

import asyncio
import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from worldmodel.config import UserError
from worldmodel.evaluate.evaluate import simulator_of
from worldmodel.play.imagination import Imagination
from worldmodel.play.messages import StartPoint
from worldmodel.play.recorder import ClipRecorder
from worldmodel.play.start_points import StartPoints
from worldmodel.processes import Pool
from worldmodel.report.video import provenance
from worldmodel.sims.make import slots_of
from worldmodel.sims.slot import Ending

TIMEOUT = 30.0
"""Seconds of silence after which a simulator's process is replaced (twice that while it starts)."""


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
