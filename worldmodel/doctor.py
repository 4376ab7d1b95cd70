"""This machine: what is installed, whether it can render, and what will be slow and why."""

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from worldmodel import __version__
from worldmodel.config import option
from worldmodel.devices import cores
from worldmodel.evaluate.initial_states import Starts, find

PACKAGES = ("torch", "mujoco", "gymnasium", "zarr", "numpy", "hydra-core", "lerobot")
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
GIB = 2**30

DRAW = """
import json, time
from worldmodel.sims.can import make
env = make("lift_can")
env.reset(seed=0)
start = time.perf_counter()
for _ in range(20):
    env.step(env.action_space.sample())
speed = 20 / (time.perf_counter() - start)
print(json.dumps({"backend": env.fingerprint()["gl"], "steps_per_second": round(speed)}))
"""
"""Runs in a process of its own: a broken driver may hang or crash, and must not take the doctor with it."""


@dataclass(frozen=True)
class DoctorConfig:
    """Keys of ``worldmodel doctor``."""

    json: bool = option("print one JSON object instead of the table", False)
    timeout: float = option("seconds to wait for the rendering probe", 60.0)

    def __post_init__(self) -> None:
        if self.timeout <= 0:
            raise ValueError(f"timeout={self.timeout}: expected seconds above 0, for example 60")


def doctor(config: DoctorConfig) -> int:
    """Print what was found. Returns 1 where this machine cannot run the tasks at all, else 0."""
    report = inspect(config.timeout)
    if config.json:
        print(json.dumps(report, indent=1))
    else:
        _show(report)
    return 0 if report["rendering"]["works"] else 1


def inspect(timeout: float) -> dict[str, Any]:
    """The report, ready for JSON: versions, machine, compute, rendering and notes."""
    there = reversed([*importlib.metadata.distributions()])  # of two of a name the first is imported
    installed = {package.name: package.version for package in there}
    versions = {name: installed.get(name, "not installed") for name in PACKAGES}
    report = {
        "versions": {"worldmodel": __version__, "python": platform.python_version(), **versions},
        "machine": _machine(),
        "compute": _compute(),
        "rendering": probe_rendering(timeout),
    }
    return {**report, "notes": notes(report)}


def probe_rendering(timeout: float) -> dict[str, Any]:
    """Steps a task with both cameras in a subprocess. ``works`` is false, with a reason, where it fails or hangs."""
    try:
        run = subprocess.run([sys.executable, "-c", DRAW], capture_output=True, text=True, timeout=timeout, check=True)
        return {"works": True, **json.loads(run.stdout.splitlines()[-1])}
    except subprocess.TimeoutExpired:
        return {"works": False, "reason": f"no picture after {timeout:g} s: the graphics driver hangs"}
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"the process died with exit code {error.returncode}"]
        return {"works": False, "reason": lines[-1]}


def notes(report: dict[str, Any]) -> list[str]:
    """What will be slow or fail, and what to do about it."""
    machine, compute, rendering = report["machine"], report["compute"], report["rendering"]
    reason, backend = rendering.get("reason"), rendering.get("backend")
    cores, load = machine["cores"], machine["load"]
    frozen = str(Starts.load(find("test", "place_can")).fingerprint["mujoco"])
    mujoco = report.get("versions", {}).get("mujoco", frozen)
    drift = f"MuJoCo {mujoco}, but shipped starts and figures are of {frozen}: bodies move a little differently"
    memory, disk = machine["memory_free_gib"], machine["disk_free_gib"]
    slow = not compute["cuda"] and not {"amx_bf16", "avx512_bf16"} & set(machine["flags"])
    found = (
        (not rendering["works"], f"rendering fails: {reason}; run `make setup`, or set MUJOCO_GL=disable"),
        (backend == "ray", "no OpenGL: a plain ray caster draws, which the shipped model never saw; run `make setup`"),
        (not compute["cuda"], "no CUDA GPU: train `tiny` here (about an hour); `small` and `base` want a GPU"),
        (slow, "this CPU has no bf16 units: training runs at about a quarter of the speed of one that has"),
        (not compute["compiler"], "no C++ compiler: torch.compile is off and training 3 times slower; install g++"),
        (cores < 2, "one core: the simulator and the policy take turns, so the demo takes twice as long"),
        (load > 0.5 * cores, f"other programs keep {load:.1f} of {cores} cores busy: timings will be worse"),
        (memory < 4, f"{memory:.1f} GiB of memory free: collect with workers=1; training wants 4 GiB"),
        (mujoco != frozen, drift),
        (disk < 5, f"{disk:.1f} GiB of disk free: 200 episodes with images take about 2 GiB"),
    )
    return [note for applies, note in found if applies]


def _machine() -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo")
    words = set(cpuinfo.read_text().split()) if cpuinfo.is_file() else set()
    memory = psutil.virtual_memory()
    return {
        "system": platform.platform(terse=True),
        "cores": _cores(),
        "load": round(os.getloadavg()[0], 2),
        "flags": [flag for flag in FLAGS if flag in words],
        "memory_gib": round(memory.total / GIB, 1),
        "memory_free_gib": round(memory.available / GIB, 1),
        "disk_free_gib": round(shutil.disk_usage(Path.cwd()).free / GIB, 1),
    }


def _cores() -> int:
    """Cores that this process may use: the affinity mask, and the quota of a container where there is one."""
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.is_file() and (words := quota.read_text().split())[0] != "max":
        return min(cores(), max(1, round(int(words[0]) / int(words[1]))))
    return cores()


def _compute() -> dict[str, Any]:
    import torch  # takes three seconds

    cuda = torch.cuda.is_available()
    return {
        "cuda": torch.cuda.get_device_name(0) if cuda else "",
        "threads": torch.get_num_threads(),
        "compiler": shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++") or "",
        "tflops_fp32": _tflops(torch.float32),
        "tflops_bf16": _tflops(torch.bfloat16),
    }


def _tflops(dtype: Any, size: int = 1024, seconds: float = 0.3) -> float:
    import torch

    left, right = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    left @ right  # the first one sets the library up
    start, count = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < seconds:
        left @ right
        count += 1
    return round(2 * size**3 * count / spent / 1e12, 2)


def _show(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for section in ("versions", "machine", "compute", "rendering"):
        for number, (name, value) in enumerate(report[section].items()):
            shown = " ".join(value) if isinstance(value, list) else str(value)
            table.add_row("" if number else f"[bold]{section}", name.replace("_", " "), escape(shown or "none"))
    console.print(table)
    console.print()
    for note in report["notes"] or ["nothing here should be slow"]:
        console.print(f"[yellow]·[/] {escape(note)}", soft_wrap=True, highlight=False)
