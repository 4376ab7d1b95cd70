"""Finds the simulator that a task's name stands for, and makes it; commands ask here and never name a simulator."""

import importlib
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any

from worldmodel.config import UserError
from worldmodel.processes import isolated
from worldmodel.sims.base import EnvInfo, Simulator, SimulatorSpec
from worldmodel.sims.own import as_simulator, from_file
from worldmodel.sims.slot import Ending, Slot


def find(spec: SimulatorSpec) -> Any:
    """The simulator's class."""
    module, _, name = spec.kind.rpartition(":")
    is_file = module.endswith(".py")
    found = from_file(module, name) if is_file else getattr(importlib.import_module(module), name)
    return as_simulator(found, spec.task)


def check(spec: SimulatorSpec) -> type[Simulator]:
    """The simulator's class, once names are known to be right; starts nothing. UserError or ValueError, one line."""
    kind: type[Simulator] = find(spec)
    kind.check(spec)
    return kind


def make(spec: SimulatorSpec) -> Simulator:
    """The simulator of a spec. It draws in this process, which therefore should not see CUDA."""
    return find(spec)(spec)


def describe(spec: SimulatorSpec) -> tuple[EnvInfo, dict[str, Any]]:
    """What the simulator turns out to be, and its fingerprint, cameras chosen; nothing is left running.

    Raises UserError or ValueError, one line: one that cannot be made, seen or driven, or that ends its process.
    """
    return in_process(_look, spec, task=spec.task) if check(spec).draws_at_once else _look(spec)


def in_process[T](function: Callable[..., T], *arguments: Any, task: str) -> T:
    """What the function returns in a process of its own, without CUDA; UserError where that ends."""
    with isolated(), ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            reason = "the env ends its process; `worldmodel doctor` probes the renderer"
            raise UserError(f"task={task}: {reason}") from None


def _look(spec: SimulatorSpec) -> tuple[EnvInfo, dict[str, Any]]:
    simulator = make(spec)
    try:
        return simulator.info, simulator.fingerprint()
    finally:
        simulator.close()


def open_slot(spec: SimulatorSpec, ending: Ending | None = None) -> Slot:
    return Slot(make(spec), spec.history, spec.n_obs_steps, ending)


def slots_of(spec: SimulatorSpec, ending: Ending | None = None) -> partial[Slot]:
    """What opens a slot in another process: picklable, and imports the simulator only there."""
    return partial(open_slot, spec, ending)
