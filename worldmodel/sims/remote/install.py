"""The command ``env install``: a pinned environment of its own for a simulator whose needs clash with ours."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldmodel.config import UserError, closest, option
from worldmodel.sims.remote.where import DONE, home, python_in


@dataclass(frozen=True)
class Pins:
    """Exact versions; ``alone`` is installed without the dependencies it asks for, which ``needs`` replaces."""

    needs: tuple[str, ...]
    alone: tuple[str, ...]
    megabytes: int


RECIPES = {
    # robosuite needs numpy < 2 by way of a solver it uses only for whole bodies, and breaks with MuJoCo >= 3.10
    "robosuite": Pins(
        (
            "mujoco==3.9.0",
            "numpy==2.2.6",
            "numba==0.68.1",
            "llvmlite==0.50.0",
            "scipy==1.17.1",
            "pillow==13.0.0",
            "opencv-python-headless==5.0.0.93",
            "termcolor==3.3.0",
            "tqdm==4.70.1",
            "glfw==2.11.0",
            "pyopengl==3.1.10",
        ),
        ("robosuite==1.5.2",),
        900,
    ),
    # Meta-World pins a MuJoCo that is older than what we need, and does not run with ours
    "metaworld": Pins(
        (
            "mujoco==3.3.0",
            "gymnasium==1.4.0",
            "numpy==2.2.6",
            "scipy==1.17.1",
            "imageio==2.38.1",
            "packaging==25.0",
            "glfw==2.11.0",
            "pyopengl==3.1.10",
        ),
        ("metaworld==3.1.1",),
        500,
    ),
}


@dataclass(frozen=True)
class InstallConfig:
    """Which simulator, and where to."""

    name: str = option("simulator to install: robosuite or metaworld")
    out: str = option("folder of the environment; auto is in the user's cache, or in WORLDMODEL_ENVS", "auto")


def install(config: InstallConfig) -> int:
    """Make the environment, or keep one that has these very versions; without prompts."""
    if config.name not in RECIPES:
        raise UserError(f"{config.name}: no such simulator; {closest(config.name, RECIPES)}")
    recipe, folder = RECIPES[config.name], home(config.name) if config.out == "auto" else Path(config.out)
    pins = [*recipe.needs, *recipe.alone]
    if _installed(folder) == pins:
        print(f"{config.name} is installed in {folder}; nothing to do")
        return 0
    began = time.monotonic()
    if folder.exists() and not (folder / "pyvenv.cfg").exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty and no Python environment; choose another out=")
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    print(f"installing {config.name} and what it needs (about {recipe.megabytes} MB) into {folder}", flush=True)
    for command in _commands(folder, recipe):
        _run(command, folder)
    _try_out(config.name, python_in(folder))
    (folder / DONE).write_text(json.dumps({"name": config.name, "pins": pins}, indent=1))
    print(f"{config.name}: {folder}, {time.monotonic() - began:.0f} s")
    return 0


def _commands(folder: Path, recipe: Pins) -> list[list[str]]:
    """What makes the environment: with uv where it is there (ten times faster), else with venv and pip."""
    python = str(python_in(folder))
    if uv := shutil.which("uv"):
        pip = [uv, "pip", "install", "--quiet", "--python", python]
        make = [uv, "venv", "--quiet", "--python", sys.executable, str(folder)]
    else:
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        make = [sys.executable, "-m", "venv", str(folder)]
    return [make, [*pip, *recipe.needs], [*pip, "--no-deps", *recipe.alone]]


def _run(command: list[str], folder: Path) -> None:
    result = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode:
        said = (result.stdout.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"`{' '.join(command[:4])} ...` failed: {said}; {folder} is unfinished, run it again")


def _try_out(name: str, python: Path) -> None:
    """One step, drawn: shows whether it renders here, and compiles what robosuite compiles at first use."""
    if name == "metaworld":
        from worldmodel.sims.metaworld.client import CAMERAS, MetaWorld

        task = MetaWorld("pick-place-v3", 96, python)
        task.step(task.scripted())
        task.draw(CAMERAS[0])
        task.close()
        return
    from worldmodel.sims.robosuite.client import RobosuiteConfig, RobosuiteEnv

    print("trying it out (the first step compiles)", flush=True)
    env = RobosuiteEnv(RobosuiteConfig(seconds=1800.0), python)
    env.reset(seed=0)
    env.step(np.zeros(7))
    env.close()


def _installed(folder: Path) -> list[str]:
    try:
        return list(json.loads((folder / DONE).read_text())["pins"])
    except (OSError, ValueError, KeyError):
        return []
