"""The command ``env install``: a pinned environment of its own for a simulator whose needs clash with ours."""

import contextlib
import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldmodel.assets import asset
from worldmodel.config import UserError, closest, option
from worldmodel.sims.remote.process import DONE, home, python_in

MEGABYTES = {"robosuite": 900, "metaworld": 500}
"""About what each simulator takes on disk; its exact versions are in ``envs/<name>.txt``."""


@dataclass(frozen=True)
class InstallConfig:
    """Which simulator, and where to."""

    name: str = option("simulator to install: robosuite or metaworld")
    out: str = option("folder of the environment; auto is in the user's cache, or in WORLDMODEL_ENVS", "auto")


def pins(name: str) -> list[str]:
    """Exact versions for a simulator, itself last."""
    return [line for line in asset(f"envs/{name}.txt").read_text().splitlines() if not line.startswith("#")]


def install(config: InstallConfig) -> int:
    """Make the environment, or keep one that has these very versions; without prompts."""
    name = config.name
    if name not in MEGABYTES:
        raise UserError(f"{name}: no such simulator; {closest(name, MEGABYTES)}")
    folder, wanted = home(name) if config.out == "auto" else Path(config.out), pins(name)
    if _installed(folder) == wanted:
        print(f"{name} is installed in {folder}; nothing to do")
        return 0
    began = time.monotonic()
    if folder.exists() and not (folder / "pyvenv.cfg").exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty and no Python environment; choose another out=")
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    print(f"installing {name} and what it needs (about {MEGABYTES[name]} MB) into {folder}", flush=True)
    for command in _commands(folder, wanted):
        _run(command, folder)
    _try_out(name, python_in(folder))
    (folder / DONE).write_text(json.dumps({"name": name, "pins": wanted}, indent=1))
    print(f"{name}: {folder}, {time.monotonic() - began:.0f} s")
    return 0


def _commands(folder: Path, pins: list[str]) -> list[list[str]]:
    """What makes the environment: with uv where it is there (ten times faster), else with venv and pip."""
    python = str(python_in(folder))
    if uv := shutil.which("uv"):
        pip = [uv, "pip", "install", "--quiet", "--python", python]
        make = [uv, "venv", "--quiet", "--python", sys.executable, str(folder)]
    else:
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        make = [sys.executable, "-m", "venv", str(folder)]
    return [make, [*pip, *pins[:-1]], [*pip, "--no-deps", pins[-1]]]


def _run(command: list[str], folder: Path) -> None:
    result = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode:
        said = (result.stdout.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"`{' '.join(command[:4])} ...` failed: {said}; {folder} is unfinished, run it again")


def _try_out(name: str, python: Path) -> None:
    """One step, drawn: shows whether it renders here, and compiles what robosuite compiles at first use."""
    if name == "metaworld":
        from worldmodel.sims.metaworld.client import CAMERAS, MetaWorld

        with contextlib.closing(MetaWorld("pick-place-v3", 96, python)) as task:
            task.step(task.scripted())
            task.draw(CAMERAS[0])
        return
    from worldmodel.sims.robosuite.client import RobosuiteConfig, RobosuiteEnv

    print("trying it out (the first step compiles)", flush=True)
    with contextlib.closing(RobosuiteEnv(RobosuiteConfig(seconds=1800.0), python)) as env:
        env.reset(seed=0)
        env.step(np.zeros(7))


def _installed(folder: Path) -> list[str]:
    try:
        return list(json.loads((folder / DONE).read_text())["pins"])
    except (OSError, ValueError, KeyError):
        return []
