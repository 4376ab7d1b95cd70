"""Any Gymnasium env with pixels and Box actions in our convention: its rate, cameras and ranges are found out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from worldmodel.config import UserError
from worldmodel.schema import CONTROL_HZ, ENVIRONMENT_STATE, STATE, image_key
from worldmodel.sims.gymnasium import make as gym_make
from worldmodel.sims.gymnasium.cameras import Cameras, at, is_numbers, is_picture, leaves
from worldmodel.sims.gymnasium.name import TaskId, parse
from worldmodel.sims.gymnasium.success import Rule, rule_of

STEPS = 1000
"""Time limit in control steps of an env that has none."""
DECIMALS = 4
"""Numbers of a first observation are compared to so many digits: another processor rounds otherwise."""


@dataclass(frozen=True)
class GymInfo:
    """What an env turned out to be. ``low``, ``high``: range of each action dimension, in the env's own units."""

    task: str
    made_by: str
    rate: float
    rate_from: str
    steps: int
    steps_from: str
    cameras: tuple[str, ...]
    offered: tuple[str, ...]
    pixels: tuple[str, ...]
    size: int
    state: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    success: str
    ships: bool
    """Whether the env brings a scripted policy of its own."""

    def lines(self) -> list[str]:
        """For people, before anything runs."""
        ranges = ", ".join(f"{low:g} to {high:g}" for low, high in zip(self.low, self.high, strict=True))
        others = [name for name in self.offered if name not in self.cameras]
        more = f" (also offered: {', '.join(others)})" if others else ""
        limit = f"at most {self.steps} steps, {self.steps / self.rate:.1f} s ({self.steps_from})"
        return [
            f"{self.task} ({self.made_by})",
            f"  rate     {self.rate:g} Hz ({self.rate_from}), {limit}",
            f"  cameras  {'; '.join(self.pixels)}, shown at {self.size}x{self.size}{more}",
            f"  state    {self.state}",
            f"  action   {len(self.low)} numbers: {ranges}",
            f"  success  {self.success}",
        ]

    @property
    def sha256(self) -> str:
        """Names what decides whether two recordings belong together; versions and picture sizes are no part of it."""
        names = ("task", "rate", "steps", "offered", "state", "low", "high", "success")
        kept = {name: getattr(self, name) for name in names}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def open_env(task: str, size: int = 96, cameras: tuple[str, ...] = ()) -> GymEnv:
    """The env of a task's name such as ``gym:Reacher-v5`` (see `worldmodel.sims.gymnasium.name.parse`).

    Raises UserError, one line: unknown id or camera, no pixels, actions that are no numbers.
    """
    task_id = parse(task)
    raw = gym_make.make(task_id, size)
    try:
        return GymEnv(task_id, raw, size, cameras)
    except BaseException:
        raw.close()
        raise


class GymEnv:
    """One env of somebody else's.

    Observation: ``observation.images.<camera>`` uint8 (size, size, 3), the middle square; ``observation.state``
    float32 (S,), the chosen numbers of the env's observation (a single zero where it has none); where only some were
    chosen, all of them as ``observation.environment_state``. Action: float32 (A,), the env's own units, clipped to its
    range. `step` says success where Gymnasium says terminated, and the episode's end where it says truncated.
    """

    def __init__(self, task_id: TaskId, env: gymnasium.Env, size: int, cameras: tuple[str, ...] = ()) -> None:
        self.task_id, self.task, self.raw = task_id, task_id.task, env
        box = env.action_space
        if not isinstance(box, gymnasium.spaces.Box):
            raise UserError(
                f"task={self.task}: takes {box} actions, expected numbers (Box); {gym_make.like_with_boxes(task_id.id)}"
            )
        self.low, self.high = (np.ravel(edge).astype(np.float32) for edge in (box.low, box.high))
        self.action_space = gymnasium.spaces.Box(self.low, self.high)
        self._numbers = [(p, s) for p, s in leaves(env.observation_space) if is_numbers(s) and not is_picture(s)]
        self.cameras = Cameras(env, size, cameras, self.task)
        self.steps, self.total, self.best, self.success, self.over = 0, 0.0, 0.0, False, False
        self.info = self._discover(size)

    def _discover(self, size: int) -> GymInfo:
        """Look at the env and take one step, to see what it says."""
        spec = self.raw.spec
        limit = self.task_id.steps or getattr(spec, "max_episode_steps", None)
        self.limit, limit_from = limit or STEPS, "its registration" if limit else "it has none of its own"
        self.rule = Rule("terminated")
        seen, info = self._reset(0)
        self._seen = seen
        everything = self._everything()
        if (most := max((end for _, end in self.task_id.state), default=0)) > len(everything):
            raise UserError(f"task={self.task}: state= names number {most - 1}, the env has {len(everything)}")
        middle = np.clip(np.zeros_like(self.low), self.low, self.high)
        info = {**info, **self.raw.step(self._shaped(middle))[-1]}
        self.rule = rule_of(self.task_id.success, info, getattr(spec, "reward_threshold", None))
        self.rate, rate_from = self._rate()
        names = ", ".join(
            f"{'.'.join(map(str, p)) or 'observation'} ({np.size(at(seen, p))})" for p, _ in self._numbers
        )
        chosen = f"{len(self._state(everything))} of " if self.task_id.state else ""
        return GymInfo(
            self.task,
            gym_make.version_of(self.raw),
            self.rate,
            rate_from,
            self.limit,
            "chosen" if self.task_id.steps else limit_from,
            self.cameras.cameras,
            self.cameras.offered,
            self.cameras.described(seen),
            size,
            f"{chosen}{len(everything)} numbers: {names}" if names else "none (a single zero)",
            tuple(self.low.tolist()),
            tuple(self.high.tolist()),
            self.rule.told(),
            callable(getattr(self.raw.unwrapped, "scripted", None)),
        )

    def _rate(self) -> tuple[float, str]:
        """Control steps a second: what the metadata say, else the env's own step, else that of our own tasks."""
        if fps := (self.raw.metadata or {}).get("render_fps"):
            return float(fps), "metadata render_fps"
        if step := getattr(self.raw.unwrapped, "dt", 0):
            return 1 / float(step), "env.dt"
        return float(CONTROL_HZ), "assumed: the env does not say"

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], Any]:
        """The start that the env draws from ``seed``. ValueError for a state: such envs cannot be put into one."""
        if options:
            raise ValueError(f"{self.task} begins at seeds only, not with {sorted(options)}")
        self._seen, self._first = self._reset(0 if seed is None else int(seed))
        return self.observe(), self._info()

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """One control step; ValueError for a wrong shape or numbers that are not finite, before anything moves."""
        reward = self.advance(action)
        return self.observe(), reward, self.success, self.over, self._info()

    def advance(self, action: np.ndarray) -> float:
        """`step` without looking; the reward."""
        action = np.asarray(action, np.float32)
        if action.shape != self.low.shape or not np.isfinite(action).all():
            raise ValueError(f"action {action.tolist()}: expected {self.low.shape} finite numbers")
        self._seen, reward, terminated, truncated, info = self.raw.step(self._shaped(self.clip(action)))
        self.steps, self.total, self.best = self.steps + 1, self.total + float(reward), max(self.best, float(reward))
        truncated = bool(truncated) or self.steps >= self.limit
        self.over = bool(terminated) or truncated
        self.success = self.rule.holds(info, bool(terminated), truncated, self.total)
        return float(reward)

    def clip(self, action: np.ndarray) -> np.ndarray:
        """An action within the env's range, float32 (A,)."""
        return np.clip(np.asarray(action, np.float32), self.low, self.high)

    def observe(self) -> dict[str, np.ndarray]:
        """The observation of the present state."""
        return {image_key(name): frame for name, frame in self.cameras.see(self._seen).items()} | self.numbers()

    def numbers(self) -> dict[str, np.ndarray]:
        """The observation without its pictures."""
        everything = self._everything()
        told = {STATE: self._state(everything)}
        return told | ({ENVIRONMENT_STATE: everything} if self.task_id.state else {})

    def privileged(self) -> dict[str, np.ndarray]:
        """What the env gives, chosen for the policy or not, float32: for experts."""
        return {"observation": self._everything()}

    def start_digest(self) -> np.ndarray:
        """What distinguishes two starts, float64 (64,): two SHA-256, of the numbers and of the pictures now.

        The numbers of the observation and those that ``reset`` told in its info, to `DECIMALS` digits.
        """
        told = [
            value for _, value in sorted(self._first.items()) if isinstance(value, np.ndarray | float | np.floating)
        ]
        numbers = np.concatenate([self._everything(), *(np.ravel(value) for value in told)]).astype(np.float64)
        pictures = b"".join(np.ascontiguousarray(frame).tobytes() for frame in self.cameras.see(self._seen).values())
        parts = (hashlib.sha256((np.round(numbers, DECIMALS) + 0.0).tobytes()), hashlib.sha256(pictures))
        return np.concatenate([np.frombuffer(part.digest(), np.uint8) for part in parts]).astype(np.float64)

    def fingerprint(self) -> dict[str, Any]:
        """What must be equal for results to be comparable."""
        info = self.info
        told: Mapping[str, Any] = getattr(self.raw.unwrapped, "versions", None) or gym_make.versions(self.raw)
        known = {"task": self.task, "made_by": info.made_by, "rate": info.rate, "scene_sha256": info.sha256}
        return {**known, "cameras": list(info.cameras), "size": info.size, **told}

    def close(self) -> None:
        """Ends the env; safe to call twice."""
        self.raw.close()

    def _reset(self, seed: int) -> tuple[Any, dict[str, Any]]:
        self.steps, self.total, self.best, self.success, self.over = 0, 0.0, -np.inf, False, False
        seen, info = self.raw.reset(seed=seed)
        self.success = self.rule.key in info and self.rule.holds(info, False, False, 0.0)
        return seen, dict(info)

    def _shaped(self, action: np.ndarray) -> np.ndarray:
        space = self.raw.action_space
        return np.asarray(action, space.dtype).reshape(space.shape or ())

    def _everything(self) -> np.ndarray:
        parts = [np.ravel(np.asarray(at(self._seen, path), np.float32)) for path, _ in self._numbers]
        return np.concatenate(parts) if parts else np.zeros(1, np.float32)

    def _state(self, everything: np.ndarray) -> np.ndarray:
        return np.concatenate([everything[a:b] for a, b in self.task_id.state]) if self.task_id.state else everything

    def _info(self) -> dict[str, Any]:
        return {"success": self.success, "time": self.steps / self.rate, "return": self.total}
