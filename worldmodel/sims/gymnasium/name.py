"""What ``task=gym:ID?key=value&...`` stands for: an env's id, options for its constructor, when it is solved."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from worldmodel.config import UserError, closest

HOSTS = ("gym", "metaworld")  # ``gym:`` envs live in our process, ``metaworld:`` ones in an environment of their own
OURS = ("state", "success", "steps")
KEYS = ("is_success", "success")  # Keys of ``info`` under which envs usually have it


@dataclass(frozen=True)
class TaskId:
    """A task's name, taken apart.

    host: see `HOSTS`. id: the env's, as registered. options: for its constructor.
    state: ranges of the numbers that the policy observes, one after another; empty for all of them.
    success: ``auto`` or a rule (see `rule_of`). steps: time limit in control steps, or None.
    module: what is imported first, for ``module:Name-v0``, as `gymnasium.make` takes it.
    """

    task: str
    host: str
    id: str
    options: Mapping[str, Any] = field(default_factory=dict)
    state: tuple[tuple[int, int], ...] = ()
    success: str = "auto"
    steps: int | None = None
    module: str = ""


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
    success, (module, _, name) = words.pop("success", "auto"), name.rpartition(":")
    return TaskId(task, host, name, _nested(words), ranges, success, int(limit) if limit else None, module)


def slug(task: str) -> str:
    """A task's name as part of a file's: ``gym:gym_pusht/PushT-v0?obs_type=...`` is ``gym-gym_pusht-PushT-v0``."""
    return re.sub(r"[^\w.-]", "-", task.partition("?")[0])


def without_rule(task: str) -> str:
    """A task's name without what decides when its episodes end: the same env, seen and driven in the same way."""
    name, mark, query = task.partition("?")
    words = [word for word in query.split("&") if word.partition("=")[0] not in ("success", "steps")]
    return name + mark + "&".join(words) if any(words) else name


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


@dataclass(frozen=True)
class Rule:
    """``kind``: info (``key`` holds), above or below (``key`` against ``bound``), terminated, survived, return."""

    kind: str
    key: str = ""
    bound: float = 0.0

    def __str__(self) -> str:
        return {
            "info": f"info[{self.key!r}]",
            "above": f"info[{self.key!r}] > {self.bound:g}",
            "below": f"info[{self.key!r}] < {self.bound:g}",
            "terminated": "the env terminates the episode",
            "survived": "the env does not terminate the episode before the time limit",
            "return": f"the rewards of the whole episode add up to {self.bound:g} or more",
        }[self.kind]

    def holds(self, info: Mapping[str, Any], terminated: bool, truncated: bool, total: float) -> bool:
        """Whether the episode is solved now. ``total``: rewards so far, which count at the episode's end only."""
        value = info.get(self.key, 0.0)
        value = np.max(value) if isinstance(value, np.ndarray) else value  # some envs give an array of one
        return {
            "info": lambda: bool(value),
            "above": lambda: float(value) > self.bound,
            "below": lambda: float(value) < self.bound,
            "terminated": lambda: terminated,
            "survived": lambda: truncated and not terminated,
            "return": lambda: (terminated or truncated) and total >= self.bound,
        }[self.kind]()


def rule_of(text: str, info: Mapping[str, Any], threshold: float | None) -> Rule:
    """The rule that ``success=TEXT`` names, for an env whose steps have this ``info``.

    auto: one of `KEYS` in its info; else its registered reward threshold, over whole episodes; else that it
    terminates. UserError where ``info`` has no such key.
    """
    if text == "auto":
        keys = [key for key in KEYS if key in info]
        if keys:
            return Rule("info", keys[0])
        return Rule("terminated") if threshold is None else Rule("return", bound=threshold)
    if text in ("terminated", "survived"):
        return Rule(text)
    match = re.fullmatch(r"(\w+)(?:([<>])(-?[\d.]+(?:e-?\d+)?))?", text)
    scalar = int | float | np.number | np.bool_
    numbers = {key for key, value in info.items() if np.size(value) == 1 and isinstance(np.ravel(value)[0], scalar)}
    if not match or (match[1] == "return" and match[2] != ">"):
        rules = "auto, terminated, survived, return>NUMBER, KEY, KEY>NUMBER or KEY<NUMBER"
        raise UserError(f"success={text}: expected {rules}")
    if match[1] == "return":
        return Rule("return", bound=float(match[3]))
    if match[1] not in numbers:
        near = closest(match[1], numbers or ["auto"])
        raise UserError(f"success={text}: the env's info has no number '{match[1]}'; {near}")
    return Rule({None: "info", ">": "above", "<": "below"}[match[2]], match[1], float(match[3] or 0))
