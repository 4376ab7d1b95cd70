"""Finds out what somebody else's env offers, in a process of its own: whoever asks may hold a GPU, and never draws."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from worldmodel.config import UserError
from worldmodel.processes import isolated
from worldmodel.sims.gymnasium.env import Face, open_env
from worldmodel.sims.gymnasium.name import parse


def discover(task: str, size: int, cameras: tuple[str, ...] = ()) -> tuple[Face, dict[str, object]]:
    """The env's face and fingerprint, with ``cameras`` chosen (none: the env's own).

    Raises UserError, one line: an env that cannot be made, seen or driven, or that ends the process.
    """
    parse(task)  # a name that cannot be read needs no process to be refused
    with isolated(), ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_look, task, size, cameras).result()
        except BrokenProcessPool:
            raise UserError(f"task={task}: the env ends its process; `worldmodel doctor` probes the renderer") from None


def _look(task: str, size: int, cameras: tuple[str, ...]) -> tuple[Face, dict[str, object]]:
    env = open_env(task, size, cameras)
    try:
        return env.face, env.fingerprint()
    finally:
        env.close()
