"""``worldmodel bench``: the figures of speed, measured on this machine."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

import worldmodel
from research.bench.config import BenchConfig
from research.bench.imagining import psnr_by_step
from research.bench.loading import load_speed
from research.bench.objectives import compare_objectives
from research.bench.peers import compare_peers, peers_table
from research.bench.simulating import simulate
from research.bench.streaming import stream_speed, table
from research.bench.training import train_speed
from worldmodel.collect import CollectConfig, collect
from worldmodel.data import EpisodeStore
from worldmodel.files import write_json
from worldmodel.imagine.modes import open_clips
from worldmodel.policies.load import LoadedPolicy, PolicyOptions, load_policy
from worldmodel.report.stats import quantiles
from worldmodel.rollout.policy import stack
from worldmodel.schema import STATE, image_key
from worldmodel.settings import keep

CALLS, WARM_UP = 115, 15
HELD_OUT = 2_000_000_000
"""First seed of the bench's own episodes: far above those that anyone trains on."""


def bench(config: BenchConfig) -> int:
    """Measure ``config.parts`` one after another; write ``bench.json`` after each, so that an interruption keeps it."""
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    keep(out, config)
    torch.set_num_threads(config.threads)
    found: dict[str, Any] = {"machine": _machine(config.threads), "checkpoint": config.checkpoint, "task": config.task}
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        for part in config.parts:
            began = time.monotonic()
            found[part] = _measure(part, config, Path(scratch))
            print(f"{part:9} {_say(part, found[part])}  ({time.monotonic() - began:.0f} s)", flush=True)
            write_json(out / "bench.json", found)
    print(f"{out / 'bench.json'}: all figures")
    return 0


def _measure(part: str, config: BenchConfig, scratch: Path) -> dict[str, Any]:
    if part == "act":
        return _act(_policy(config), _policy(config, fast=False))
    if part == "simulate":
        return simulate(config.task, 96, os.cpu_count() or 1, config.seconds, timeout=60)
    if part == "streaming":
        return stream_speed(config.threads)
    store, seconds = _store(config, scratch)
    if part == "collect":
        speed = round(60 * len(store) / seconds, 1)
        return {"episodes": len(store), "steps": store.steps, "episodes_per_minute": speed}
    if part == "peers":
        return compare_peers(scratch / "store", scratch, config.checkpoint, config.threads, config.seconds)
    if part == "load":
        return load_speed(scratch / "store", scratch, config.seconds)
    if part == "imagine":
        loaded = _policy(config)
        model = loaded.policy.model  # type: ignore[attr-defined]  # a ModelPolicy
        return psnr_by_step(model, open_clips(model.config, str(store.path)))
    if part == "objectives":
        return compare_objectives(scratch / "store", scratch / "objectives")
    return train_speed(scratch / "store", scratch / "run", config.steps)


def _policy(config: BenchConfig, fast: bool = True) -> LoadedPolicy:
    return load_policy(config.checkpoint, config.task, PolicyOptions(8, device="cpu", fast=fast))


def _act(loaded: LoadedPolicy, eager: LoadedPolicy) -> dict[str, Any]:
    """Milliseconds of one ``act``, by the default path and by torch in turns: one observation in, a whole chunk out.

    The pixels' values cannot matter. ``cpu_p50`` and ``eager_cpu_p50``: of processor time.
    """
    random = np.random.default_rng(0)
    frames = (loaded.size, loaded.size, 3)
    observation = {image_key(camera): random.integers(0, 256, frames, np.uint8) for camera in loaded.cameras}
    observation[STATE] = np.array([0.5, 0.0, 0.2, 0.08], np.float32)
    for signal in loaded.policy.model.config.recorded:  # type: ignore[attr-defined]  # a ModelPolicy
        observation[signal.key] = np.zeros((signal.past, *signal.row), np.float32)
    one, spent = stack([observation]), np.zeros((2, 2, CALLS))
    for call in range(CALLS):
        for path, policy in enumerate((loaded.policy, eager.policy)):
            began = (time.perf_counter(), time.process_time())
            policy.act(one, seeds=np.array([call]))  # type: ignore[call-arg]  # a ModelPolicy
            spent[path, :, call] = time.perf_counter() - began[0], time.process_time() - began[1]
    (wall, work), (eager_wall, eager_work) = 1000 * spent[:, :, WARM_UP:]
    medians = {"cpu_p50": work, "eager_p50": eager_wall, "eager_cpu_p50": eager_work}
    found = quantiles(wall.tolist()) | {name: round(float(np.median(times)), 2) for name, times in medians.items()}
    return found | {
        "n": CALLS - WARM_UP,
        "runtime": loaded.runtime,
        "ratio": round(found["p50"] / found["eager_p50"], 3),
    }


def _store(config: BenchConfig, scratch: Path) -> tuple[EpisodeStore, float]:
    """Fresh held-out episodes, and the seconds that recording them took (remembered beside them)."""
    path, note = scratch / "store", scratch / "seconds"
    if not note.is_file():
        began = time.monotonic()
        if collect(CollectConfig(out=str(path), task=config.task, episodes=config.episodes, seed=HELD_OUT)):
            raise KeyboardInterrupt
        note.write_text(str(time.monotonic() - began))
    return EpisodeStore.open(path), float(note.read_text())


def _say(part: str, found: dict[str, Any]) -> str:
    if part == "act":
        return f"p50 {found['p50']:.1f} ms, p95 {found['p95']:.1f} ms; with torch p50 {found['eager_p50']:.1f} ms"
    if part == "peers":
        return peers_table(found)
    if part == "simulate":
        return f"{found['steps_per_second']:.0f} control steps/s with both cameras, {found['processes']} processes"
    if part == "collect":
        return f"{found['episodes_per_minute']:.0f} episodes a minute"
    if part == "load":
        beside = found.get("why") or f"{found['ratio']:.1f} times LeRobot's {found['lerobot']:.0f}"
        return f"{found['ours']:.0f} windows/s; {beside}"
    if part == "imagine":
        first, last = found["psnr"][0], found["psnr"][-1]
        verdict = "above" if found["above_copy_at_every_step"] else "NOT above"
        ends = f"{first['imagined']:.1f} dB one step ahead, {last['imagined']:.1f} dB {last['steps_ahead']} steps ahead"
        return f"{ends}; {verdict} copying the last frame at every step"
    if part == "streaming":
        return table(found)
    if part == "objectives":
        costs = [f"{name} {cost['ratio']:.2f}" for name, cost in found["objectives"].items()]
        return f"cost of a step beside flow matching's: {', '.join(costs)}"
    return f"{found['samples_per_second']:.0f} samples/s"


def _machine(threads: int) -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "threads": threads,
        "load": round(os.getloadavg()[0], 2),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "torch": torch.__version__,
        "worldmodel": worldmodel.__version__,
    }
