"""How many control steps a second the env gives with its cameras, on all cores at once and without a policy."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import Connection
from typing import Any

HOLD = 10
"""Steps for which a random target is held, so that the arm really moves."""


def simulate(task: str, size: int, processes: int, seconds: float, timeout: float) -> dict[str, Any]:
    """Control steps per second summed over spawned ``processes``, each with one env and both cameras.

    Raises OSError where a process dies or has said nothing for ``timeout`` seconds.
    """
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(processes)
    workers, ends = [], []
    for seed in range(processes):
        here, there = context.Pipe(duplex=False)
        arguments = (there, together, task, size, seed, seconds)
        workers.append(context.Process(target=_run, args=arguments, daemon=True))
        ends.append(here)
        workers[-1].start()
        there.close()
    try:
        rates = [_receive(end, timeout + seconds) for end in ends]
    finally:
        for worker in workers:
            worker.kill()
    return {"steps_per_second": round(sum(rates), 1), "processes": processes, "size": size, "task": task}


def _receive(end: Connection, timeout: float) -> float:
    try:
        if end.poll(timeout):
            return float(end.recv_bytes())
    except EOFError:
        raise OSError("a simulator died while it was timed; see `worldmodel doctor`") from None
    raise OSError(f"a simulator said nothing for {timeout:g} s; see `worldmodel doctor`")


def _run(end: Connection, together: Any, task: str, size: int, seed: int, seconds: float) -> None:
    from worldmodel.sims.can import make

    env = make(task, size=size)
    env.reset(seed=seed)
    env.action_space.seed(seed)
    _step(env, 2 * HOLD)
    together.wait(60)
    start, steps = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < seconds:
        steps += _step(env, HOLD)
    end.send_bytes(str(steps / spent).encode())


def _step(env: Any, steps: int) -> int:
    action = env.action_space.sample()
    for _ in range(steps):
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    return steps
