"""What ``task=gym:ID?key=value&...`` stands for: an env's id, options for its constructor, and three words of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worldmodel.config import UserError, closest

HOSTS = ("gym", "metaworld")  # ``gym:`` envs live in our process, ``metaworld:`` ones in an environment of their own
OURS = ("state", "success", "steps")


@dataclass(frozen=True)
class TaskId:
    """A task's name, taken apart.

    host: see `HOSTS`. id: the env's. options: for its constructor.
    state: ranges of the numbers that the policy observes, one after another; empty for all of them.
    success: ``auto`` or a rule (see `worldmodel.sims.gymnasium.success`). steps: time limit in control steps, or None.
    """

    task: str
    host: str
    id: str
    options: Mapping[str, Any] = field(default_factory=dict)
    state: tuple[tuple[int, int], ...] = ()
    success: str = "auto"
    steps: int | None = None


def parse(task: str) -> TaskId:
    """Take a task's name apart; UserError, one line, where it cannot be read.

    ``gym:Reacher-v5?default_camera_config.distance=0.6&state=0:4+6:8``: everything behind the question mark that is not
    one of `OURS` goes to the env's constructor, numbers and true/false as such, dots for what lies within.
    """
    host, _, rest = task.partition(":")
    name, _, query = rest.partition("?")
    if host not in HOSTS or not name:
        raise UserError(f"task={task}: expected gym:ID, for example gym:Reacher-v5")
    words: dict[str, str] = {}
    for word in filter(None, query.split("&")):
        key, equals, value = word.partition("=")
        if not equals or not all(part.isidentifier() for part in key.split(".")):
            raise UserError(f"task={task}: {word!r} behind the question mark, expected key=value (joined by &)")
        words[key] = value
    ranges, limit = _ranges(task, words.pop("state", "")), words.pop("steps", "")
    if limit and not (limit.isdigit() and int(limit) > 0):
        raise UserError(f"task={task}: steps={limit}, expected a number of control steps above 0")
    success = words.pop("success", "auto")
    return TaskId(task, host, name, _nested(words), ranges, success, int(limit) if limit else None)


def slug(task: str) -> str:
    """A task's name as part of a file's: ``gym:gym_pusht/PushT-v0?obs_type=...`` is ``gym-gym_pusht-PushT-v0``."""
    return re.sub(r"[^\w.-]", "-", task.partition("?")[0])


def explained(task: str, error: Exception) -> UserError:
    """Whatever an env's constructor makes of its options, in one line."""
    said = " ".join(str(error).split()) or type(error).__name__
    if match := re.search(r"unexpected keyword argument '(\w+)'", said):
        return UserError(f"task={task}: the env has no option '{match[1]}'; {closest(match[1], OURS)}")
    return UserError(f"task={task}: the env cannot be made ({type(error).__name__}: {said[:200]})")


def _ranges(task: str, text: str) -> tuple[tuple[int, int], ...]:
    """``0:4+6:8`` as ((0, 4), (6, 8)); a single number is a range of one."""
    found = []
    for part in filter(None, text.split("+")):
        match = re.fullmatch(r"(\d+)(?::(\d+))?", part)
        if not match or (match[2] and int(match[2]) <= int(match[1])):
            raise UserError(f"task={task}: state={text}, expected ranges such as 0:4+6:8")
        found.append((int(match[1]), int(match[2] or int(match[1]) + 1)))
    return tuple(found)


def _nested(words: Mapping[str, str]) -> dict[str, Any]:
    """``{"a.b": "1"}`` as ``{"a": {"b": 1}}``; what is no JSON stays text."""
    found: dict[str, Any] = {}
    for name, text in words.items():
        *way, last = name.split(".")
        inside = found
        for key in way:
            inside = inside.setdefault(key, {})
        try:
            inside[last] = json.loads(text)
        except ValueError:
            inside[last] = text
    return found
