"""Makes the Gymnasium env that a task's name stands for, or says in one line why there is none."""

import contextlib
import importlib
import importlib.metadata
import os
import warnings
from collections.abc import Mapping
from typing import Any

import gymnasium

from worldmodel.config import UserError, closest
from worldmodel.sims.gymnasium.name import TaskId, explained

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # draws without a display


def make(task_id: TaskId, size: int) -> gymnasium.Env:
    """The env, ready to be seen. MuJoCo ones draw at ``size`` pixels, without multisampling, shadows and reflections.

    Raises UserError: no such id, a package that is missing, options that the constructor does not take.
    """
    if task_id.host == "metaworld":
        from worldmodel.sims.metaworld.client import MetaWorld

        return MetaWorld(task_id.id, size, None, **task_id.options)
    importlib.import_module("worldmodel.sims.can.backend")  # chooses how MuJoCo draws, before anything else imports it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec = find(task_id)
        try:
            env = _made(spec, _looks(spec, size), task_id.options)
        except Exception as error:  # noqa: BLE001  other people's constructors raise what they like
            raise explained(task_id.task, error) from None
    inside: Any = env.unwrapped
    if hasattr(inside, "mujoco_renderer"):
        inside.model.vis.quality.offsamples = 0
        inside.model.light_castshadow[:] = inside.model.mat_reflectance[:] = 0
    return env


def _made(spec: Any, looks: dict[str, Any], options: Mapping[str, Any]) -> gymnasium.Env:
    """The env; once more without ``looks`` where its constructor, or the function that makes it, takes no such."""
    try:
        return gymnasium.make(spec, disable_env_checker=True, **{**looks, **options})
    except TypeError as error:
        if not any(f"'{name}'" in str(error) for name in looks.keys() - options.keys()):
            raise
        return gymnasium.make(spec, disable_env_checker=True, **options)


def drawing(env: gymnasium.Env, error: BaseException) -> UserError | None:
    """What says that a MuJoCo env cannot be drawn as the user's ``MUJOCO_GL`` has it; None where that is not it."""
    if isinstance(error, UserError) or not (isinstance(error, Exception) and hasattr(env.unwrapped, "mujoco_renderer")):
        return None
    from worldmodel.sims.can.backend import FORCED, gl_backend, gl_error

    return gl_error(gl_backend(), error) if FORCED else None


def find(task_id: TaskId) -> Any:
    """The registered spec of an id; ``package/Name-v0`` also imports ``package``, ``module:Name-v0`` the module."""
    package, slash, _ = task_id.id.partition("/")
    if task_id.module:
        _import(task_id, task_id.module)
    elif slash and task_id.id not in gymnasium.registry and package.isidentifier():
        _import(task_id, package)
    try:
        spec = gymnasium.spec(task_id.id)
    except ModuleNotFoundError as error:
        raise UserError(f"task={task_id.task}: there is no module {error.name!r} to import; install it first") from None
    except gymnasium.error.Error:
        raise UserError(f"task={task_id.task}: no such Gymnasium env; {closest(task_id.id, _ids())}") from None
    if spec.entry_point is None:
        raise UserError(f"task={task_id.task}: makes many envs at once, expected one; {closest(task_id.id, _ids())}")
    return spec


def like_with_boxes(name: str) -> str:
    """The end of an error message: the id nearest to ``name`` whose actions are numbers, as far as is known."""

    def has_boxes(key: str, spec: Any) -> bool:
        mujoco = str(spec.entry_point).startswith("gymnasium.envs.mujoco.")
        return mujoco or "Continuous" in key or "Pendulum" in key or spec.kwargs.get("continuous") is True

    known = [key for key, spec in gymnasium.registry.items() if key != name and has_boxes(key, spec)]
    return closest(name, known or ["Pendulum-v1"])


def version_of(env: gymnasium.Env) -> str:
    """Distribution and version that the env's class comes from, for example ``gym-pusht 0.1.8``."""
    if isinstance(version := getattr(env.unwrapped, "version", None), str):
        return version
    package = type(env.unwrapped).__module__.partition(".")[0]
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        owner = importlib.metadata.distribution(package)
        return f"{owner.metadata['Name']} {owner.version}"
    return package


def _import(task_id: TaskId, package: str) -> None:
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        what = f"{package} needs {error.name}, which is not installed"
        if error.name == package and task_id.module:
            what = f"there is no module {package!r} to import; install it, or run where it lies"
        elif error.name == package:
            near = closest(task_id.id, _ids()) if package in {key.partition("/")[0] for key in _ids()} else ""
            what = f"no package {package!r} is installed; try `pip install {package.replace('_', '-')}` {near}"
        raise UserError(f"task={task_id.task}: {what}") from None


def _ids() -> list[str]:
    """Registered ids, without those that only warn of their age."""
    return [key for key, spec in gymnasium.registry.items() if spec.entry_point is not None]


def _looks(spec: Any, size: int) -> dict[str, Any]:
    """Arguments of the constructor that decide how the env is drawn, where it knows them."""
    looks: dict[str, Any] = {}
    creator = spec.entry_point
    with contextlib.suppress(Exception):
        creator = gymnasium.envs.registration.load_env_creator(creator) if isinstance(creator, str) else creator
    modes = getattr(creator, "metadata", {}).get("render_modes", ("rgb_array",))
    if "rgb_array" in modes:
        looks["render_mode"] = "rgb_array"
    if any(kind.__name__ == "MujocoEnv" for kind in getattr(creator, "__mro__", ())):
        looks |= {"width": size, "height": size}
    return looks


def versions(env: gymnasium.Env) -> dict[str, str]:
    """What an env's numbers and pictures depend on: Gymnasium, and for MuJoCo ones its version and how it draws."""
    if not hasattr(env.unwrapped, "mujoco_renderer"):
        return {"gymnasium": gymnasium.__version__, "mujoco": "none", "gl": "none"}
    from worldmodel.sims.can.backend import gl_backend, mujoco

    return {"gymnasium": gymnasium.__version__, "mujoco": mujoco.__version__, "gl": gl_backend()}
