"""A policy from a Python file of the user's own: ``python:FILE.py:NAME``, a class or function that gives a `Policy`."""

from __future__ import annotations

import hashlib
import inspect
import runpy
from pathlib import Path
from typing import Any

from worldmodel.config import UserError, closest
from worldmodel.schema import Policy


def load(name: str, task: str) -> tuple[Policy, str]:
    """The policy that FILE.py:NAME makes (called with ``task`` where it takes arguments), and the file's SHA-256.

    The file is run: name only files that you would run yourself. Raises UserError where it has no such name, or what
    NAME gives has no ``act``, ``reset`` or ``chunk_size``.
    """
    path, _, factory = name.rpartition(":")
    file = Path(path).expanduser()
    if not file.is_file():
        raise UserError(f"python:{name}: {f'no file {path!r}' if path else 'no name'}; write python:FILE.py:NAME")
    found = runpy.run_path(str(file), run_name=file.stem)
    if not callable(found.get(factory)):
        known = [one for one, value in found.items() if callable(value) and not one.startswith("_")]
        raise UserError(f"python:{name}: {path} has no class or function {factory!r}; {closest(factory, known)}")
    make: Any = found[factory]
    policy = make(task) if inspect.signature(make).parameters else make()
    for attribute in ("act", "reset", "chunk_size"):
        if not hasattr(policy, attribute):
            raise UserError(f"python:{name}: what {factory} gives has no {attribute!r}; see worldmodel.schema.Policy")
    return policy, hashlib.sha256(file.read_bytes()).hexdigest()
