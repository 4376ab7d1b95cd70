"""The loop between workers and store: hand out seeds, take what is to be kept, store it in the order of seeds."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from worldmodel.collect import spool
from worldmodel.collect.workers import Workers
from worldmodel.config import UserError
from worldmodel.data import StoreWriter
from worldmodel.interrupt import StopSignal


class Queue:
    """Which seeds to try next, and which finished ones are due for the store."""

    def __init__(self, due: int, kept: int, wanted: int, waiting: list[int]) -> None:
        """Seeds below ``due`` are settled and gave ``kept`` episodes of ``wanted``; ``waiting`` lie in the spool."""
        self.due = self.next = due
        self.kept, self.wanted = kept, wanted
        self.finished: dict[int, bool] = {seed: True for seed in waiting if seed >= due}
        self.running: set[int] = set()

    def draw(self) -> int | None:
        """The next seed to try, or None while the ones before it could still be enough."""
        self.next = max(self.next, self.due)
        while self.next in self.finished or self.kept + self._hopeful() < self.wanted:
            seed, self.next = self.next, self.next + 1
            if seed not in self.finished and seed not in self.running:
                self.running.add(seed)
                return seed
        return None

    def settle(self, seed: int, kept: bool) -> None:
        self.running.discard(seed)
        self.finished[seed] = kept

    def again(self, seed: int) -> None:
        """The episode of a finished seed is lost: try it once more."""
        del self.finished[seed]
        self.next = min(self.next, seed)

    def _hopeful(self) -> int:
        """Seeds below ``next`` that are not stored yet and have not been given up."""
        return len(self.running) + sum(good for seed, good in self.finished.items() if seed < self.next)


def collect_episodes(
    writer: StoreWriter, workers: Workers, console: Console, stop: StopSignal, give_up: int = 0
) -> int:
    """Fill the store until it holds the recipe's number of episodes, or until ``stop`` is requested.

    UserError where the first ``give_up`` episodes tried give none to keep; 0 for never. Returns the number of finished
    episodes whose turn has not come, which wait in the spool.
    """
    recipe, folder = workers.job.recipe, workers.job.spool
    settled = len(writer.records) + len(writer.dropped)  # seeds are settled in their order, without gaps
    hopeless = len(writer.dropped) + give_up if give_up and not writer.records else None
    queue = Queue(recipe.seed + settled, len(writer.records), recipe.episodes, spool.waiting(folder))
    with _Bar(console, recipe.episodes, len(writer.records)) as bar:
        while len(writer.records) < recipe.episodes and not stop.requested:
            while workers.idle and (seed := queue.draw()) is not None:
                workers.submit(seed)
            for seed, kept in workers.poll(timeout=0.2):
                queue.settle(seed, kept)
            if workers.fingerprint is not None:
                _note_environment(writer, workers.fingerprint)
                _store_due(writer, queue, workers)
            bar.update(len(writer.records), len(writer.dropped))
            if len(writer.dropped) == hopeless and not writer.records:
                advice = f"expert={recipe.expert} does not: choose another, or another success rule"
                more = "failures=true keeps failed episodes, give_up=0 goes on for ever"
                raise UserError(f"none of {hopeless} episodes met the success rule; {advice}; {more}")
    return sum(queue.finished.values())


def _store_due(writer: StoreWriter, queue: Queue, workers: Workers) -> None:
    """Move finished episodes whose turn has come from the spool into the store."""
    while queue.due in queue.finished and queue.kept < queue.wanted:
        seed = queue.due
        path = spool.path_of(workers.job.spool, seed)
        if queue.finished[seed]:
            episode = spool.load(path)
            if episode is None:  # damaged while it waited
                queue.again(seed)
                return
            writer.append(episode)
            path.unlink(missing_ok=True)
            queue.kept += 1
        else:
            writer.drop(seed)
        del queue.finished[seed]
        queue.due += 1


def _note_environment(writer: StoreWriter, fingerprint: dict[str, Any]) -> None:
    """Keep versions and asset hashes in the provenance; a resumed store must not mix two of them."""
    before = writer.provenance.get("environment")
    if before is None:
        writer.note(environment=fingerprint)
    elif before != fingerprint:
        change = _difference(before, fingerprint)
        raise UserError(f"{writer.path} was begun with another simulator: {change}; remove it")


def _difference(before: Any, now: Any, name: str = "environment") -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *now]:
            if before.get(key) != now.get(key):
                return _difference(before.get(key), now.get(key), key)
    return f"{name} was {before}, is {now}"


class _Bar:
    """A progress bar on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, console: Console, total: int, done: int) -> None:
        self.console, self.total, self.first = console, total, done
        self.began = self.spoke = time.monotonic()
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
        self.progress = Progress(TextColumn("collect"), *columns, console=console, disable=not console.is_terminal)
        self.task = self.progress.add_task("collect", total=total, completed=done, rate="starting simulators")

    def update(self, done: int, dropped: int) -> None:
        now = time.monotonic()
        rate = (done - self.first) / (now - self.began)
        text = f"{rate:.2f} episodes/s, {done} of {done + dropped} kept"
        none = "starting simulators" if not dropped else f"none of {dropped} met the success rule; can the expert?"
        self.progress.update(self.task, completed=done, rate=text if done > self.first else none)
        if not self.console.is_terminal and now - self.spoke > 10:
            self.spoke = now
            left = f"{(self.total - done) / rate:.0f} s left" if rate else none
            self.console.print(f"{done}/{self.total} episodes, {text}, {left}", highlight=False)

    def __enter__(self) -> _Bar:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()
