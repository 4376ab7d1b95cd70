"""When an episode of somebody else's env counts as solved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldmodel.config import UserError, closest

KEYS = ("is_success", "success")  # Keys of ``info`` under which envs usually have it


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
    numbers = {key for key, value in info.items() if _is_number(value)}
    if not match or (match[1] == "return" and match[2] != ">"):
        rules = "auto, terminated, survived, return>NUMBER, KEY, KEY>NUMBER or KEY<NUMBER"
        raise UserError(f"success={text}: expected {rules}")
    if match[1] == "return":
        return Rule("return", bound=float(match[3]))
    if match[1] not in numbers:
        near = closest(match[1], numbers or ["auto"])
        raise UserError(f"success={text}: the env's info has no number '{match[1]}'; {near}")
    return Rule({None: "info", ">": "above", "<": "below"}[match[2]], match[1], float(match[3] or 0))


def _is_number(value: Any) -> bool:
    return np.ndim(value) == 0 and isinstance(value, int | float | np.number | np.bool_)
