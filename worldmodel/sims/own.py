"""A task of one's own, in a file that ``task=FILE.py:NAME`` runs, or offered by an installed package.

NAME is a subclass of `Simulator`, or a `Task` for our robot, which may have a scene and an expert of its own.
"""

import functools
import importlib.util
import multiprocessing
import sys
from pathlib import Path
from typing import Any

from worldmodel.config import UserError, closest
from worldmodel.sims.base import Simulator


def from_file(file: str, name: str) -> Any:
    """NAME of FILE.py, which is run, once in each process, and named on stderr. UserError where there is none."""
    found = vars(_run(file))
    if name not in found:
        offered = [key for key, value in found.items() if is_task(value)]
        raise UserError(f"task={file}:{name}: {file} has no {name!r}; {closest(name, offered or ['nothing'])}")
    return found[name]


@functools.cache
def _run(file: str) -> Any:
    path = Path(file).expanduser().resolve()
    if not path.is_file():
        raise UserError(f"task={file}: no such file; write task=FILE.py:NAME")
    if multiprocessing.parent_process() is None:
        print(f"running the code of {path}, because task= names it", file=sys.stderr)
    spec = importlib.util.spec_from_file_location(f"worldmodel_task_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def is_task(value: Any) -> bool:
    """Whether it is a simulator's class or a task for our robot."""
    if isinstance(value, type):
        return issubclass(value, Simulator) and value is not Simulator
    return type(value).__name__ == "Task" and hasattr(value, "holds")


def as_simulator(found: Any, task: str) -> type[Simulator]:
    """The class of a simulator of it. UserError for anything but such a class or a `Task`."""
    if not is_task(found):
        raise UserError(f"task={task}: is {found!r}, expected a subclass of Simulator or a Task; see the how-to")
    if isinstance(found, type):
        return found
    from worldmodel.sims.can.simulator import CanSimulator  # MuJoCo, and only where it is wanted

    return type(found.name, (CanSimulator,), {"own": found})
