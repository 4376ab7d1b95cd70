"""Evaluating from Python: `worldmodel.evaluate(policy, task)` for a checkpoint's name or anything that acts."""

import json
import tempfile
import uuid
from pathlib import Path
from typing import Any

from worldmodel import settings
from worldmodel.config import UserError
from worldmodel.evaluate.config import EvaluateConfig
from worldmodel.policies.agent import Agent
from worldmodel.policies.load import LoadedPolicy


def evaluate(
    policy: Any = "shipped", task: str | None = None, out: str | Path | None = None, **options: Any
) -> dict[str, Any]:
    """Roll a policy out closed loop on fixed initial states; returns what ``report.json`` holds, as a dictionary.

    policy: a checkpoint's name or folder, what `load` gives, or any object whose ``act(observations)`` takes a batch
    (arrays by key, each with a leading axis B) and returns actions, (B, A), or chunks of them, (B, H, A). It may have
    ``reset()``, ``chunk_size`` and further attributes, as a Python policy on the command line (see docs/howto).
    task: None for that of `load`, else place_can.
    out: folder of the report with videos; None keeps neither. options: those of ``worldmodel evaluate``; ``episodes``
    are 20 here. Raises UserError or ValueError, one line, for what the command refuses.
    """
    from worldmodel.evaluate.evaluate import evaluate as run

    by_name = isinstance(policy, str | Path)
    if fixed := [name for name in ("checkpoint", "steps", "device", "instruction") if name in options and not by_name]:
        raise UserError(f"{fixed[0]}: belongs to a policy's name; give it to worldmodel.load(...)")
    task = task or getattr(policy, "task", None) or "place_can"
    loaded = None if by_name else loaded_of(policy, task)
    with tempfile.TemporaryDirectory() as scratch:
        given: dict[str, Any] = {"task": task, "episodes": 20, "out": scratch, "videos": 0}
        given |= {} if out is None else {"out": out, "videos": EvaluateConfig.videos}
        if loaded is None:
            given["checkpoint"] = policy
        else:
            given["n_action_steps"] = min(getattr(loaded.policy, "n_action_steps", 8), loaded.policy.chunk_size)
        config = settings.from_options("evaluate", EvaluateConfig, given | options)
        if run(config, loaded):
            raise KeyboardInterrupt
        return dict(json.loads((Path(config.out) / "report.json").read_text()))


def loaded_of(policy: Any, task: str) -> LoadedPolicy:
    """An object that acts, as a policy of the evaluation: another one each time unless it has a ``sha256``."""
    if isinstance(policy, Agent):
        return policy.loaded_for(task)
    if not callable(getattr(policy, "act", None)):
        raise UserError(f"{type(policy).__name__} has no method act(observations); see worldmodel.schema.Policy")
    name = type(policy).__name__
    if not hasattr(policy, "chunk_size") or not hasattr(policy, "reset"):
        policy = _Completed(policy)
    keys = ("size", "history", "n_obs_steps", "cameras")
    chosen: dict[str, Any] = {"cameras": ()} | {key: getattr(policy, key) for key in keys if hasattr(policy, key)}
    return LoadedPolicy(policy, name, getattr(policy, "sha256", uuid.uuid4().hex), **chosen)


class _Completed:
    """A policy with a chunk's length, 1 where it has none, and ``reset``."""

    def __init__(self, policy: Any) -> None:
        self._policy, self.act = policy, policy.act
        self.chunk_size: int = getattr(policy, "chunk_size", 1)

    def reset(self) -> None:
        getattr(self._policy, "reset", bool)()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._policy, name)
