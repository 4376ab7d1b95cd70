"""What people say when they want a task done: a small table of sentences, several for each task."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache
from typing import Any

import yaml

from worldmodel.assets import asset

TABLE = "envs/instructions.yaml"


@cache
def _table() -> dict[str, dict[str, list[str]]]:
    content: Any = yaml.safe_load(asset(TABLE).read_text())
    return dict(content)


def sentences(task: str, held_out: bool = False) -> tuple[str, ...]:
    """Sentences that mean a task: those to train on, the usual one first, or those kept for tests.

    A task of several words (recordings made elsewhere have such) is its own only sentence.
    Raises ValueError, with the nearest task, where the table has none.
    """
    table = _table()
    if task not in table and " " in task.strip():
        return (task,)
    if task not in table:
        near = get_close_matches(task, table, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(table)}"
        raise ValueError(f"no sentence means task {task!r}; {hint} Add some to {TABLE}")
    return tuple(table[task]["held_out" if held_out else "train"])


def words(sentence: str) -> list[str]:
    """A sentence's words, lower case, without punctuation."""
    return re.findall(r"[a-z0-9]+", sentence.lower())


def vocabulary(tasks: tuple[str, ...]) -> tuple[str, ...]:
    """All words of the tasks' training sentences, sorted."""
    return tuple(sorted({word for task in tasks for sentence in sentences(task) for word in words(sentence)}))
