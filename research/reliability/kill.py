"""kill -9 while we collect, train, save, convert and evaluate: nothing sealed is lost, and the end is the same."""

import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from research.reliability import jobs
from research.reliability.crash import fork_workers, forked
from research.reliability.result import Tally

SHARES = {"collect": 0.1, "train": 0.11, "save": 0.56, "convert": 0.19, "evaluate": 0.04}
"""How the trials are shared out; the dearest get the fewest."""


@dataclass(frozen=True)
class Job:
    """Something that is killed. ``work`` begins it and goes on with it alike, in a folder.

    whole: what lies there after a kill, before it goes on: a problem, or nothing. found: what must be the same in the
    end as without a kill.
    """

    work: Callable[[Path], object]
    whole: Callable[[Path], str]
    found: Callable[[Path], Any]


BUSY = "is being written by another process"


def run(n: int = 90, seed: int = 0, only: str = "") -> Tally:
    """``n`` kills, each at a random file operation or, one of four, at a random time. only: one part of `SHARES`."""
    tally, rng = Tally(f"kill_{only}" if only else "kill"), random.Random(seed)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    fork_workers()
    jobs.prepare()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        jobs.inputs(root)
        for part, share in SHARES.items():
            if only in ("", part):
                _part(tally, part, max(1, round(n * (1.0 if only else share))), root, rng)
    return tally


def _part(tally: Tally, part: str, n: int, root: Path, rng: random.Random) -> None:
    variants = [Job(*each) for each in jobs.JOBS[part]]
    references = []
    for number, job in enumerate(variants):
        folder = root / f"{part}{number}"
        folder.mkdir()
        status, value = forked(partial(_whole, job, folder), root / "log")
        if status != "done":
            raise RuntimeError(f"{part} does not even work undisturbed: {value}")
        (_, expected), operations = value
        began = time.monotonic()
        forked(partial(job.work, _fresh(root / "timed")), root / "log")
        references.append((expected, operations, time.monotonic() - began))
    done = attempts = 0
    while done < n and attempts < 20 * n:
        attempts += 1
        number = attempts % len(variants)
        problem = _trial(variants[number], references[number], root, rng)
        if problem is None:  # it was through before it was killed
            continue
        done += 1
        tally.add(part, problem)
        if done % 20 == 0:
            print(f"{part}: {done} of {n}", file=sys.stderr, flush=True)


def _whole(job: Job, folder: Path) -> tuple[object, Any]:
    return job.work(folder), job.found(folder)


def _trial(job: Job, reference: tuple[Any, int, float], root: Path, rng: random.Random) -> str | None:
    """A problem, or none ("") after one kill; None where there was no kill."""
    expected, operations, seconds = reference
    folder, by_time = _fresh(root / "killed"), rng.random() < 0.25
    limit, after = (0, rng.uniform(0.01, seconds)) if by_time else (rng.randint(1, operations), 0.0)
    status, value = forked(lambda: job.work(folder), root / "log", limit, after)
    where = f"after {after:.2f} s" if by_time else f"at file operation {limit}"
    if status == "failed":
        return f"{where}: {value}"
    if status == "done":
        return None
    for _ in range(5):  # workers, forked here and so with the lock in their hands, outlive their parent a little
        status, value = forked(lambda: (job.whole(folder), job.work(folder), job.found(folder)), root / "log")
        if BUSY not in str(value):
            break
        time.sleep(0.5)
    if status != "done":
        return f"{where}: {value}"
    left, _, end = value[0]
    if left or end != expected:
        return f"{where}: {left or 'another end than without a kill'}"
    hidden = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.name.endswith((".old", ".partial"))]
    return f"{where}: left behind {hidden}" if hidden else ""


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder
