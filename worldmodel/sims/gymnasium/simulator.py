"""Any Gymnasium env with pixels and Box actions, and Meta-World's tasks: rate, cameras and ranges are found out."""

import contextlib
import hashlib
import json
from typing import Any

import gymnasium
import numpy as np

from worldmodel.config import UserError
from worldmodel.schema import CONTROL_HZ, ENVIRONMENT_STATE, STATE, image_key
from worldmodel.sims import base
from worldmodel.sims.base import EXPERT, RANDOM, SCRIPTED, Demonstrates, EnvInfo, InitialState, Simulator, SimulatorSpec
from worldmodel.sims.gymnasium import make as gym_make
from worldmodel.sims.gymnasium.cameras import Cameras, at, is_numbers, is_picture, leaves
from worldmodel.sims.gymnasium.experts import OURS, Demonstrator, RandomPolicy, scripted
from worldmodel.sims.gymnasium.name import Rule, parse, rule_of

STEPS = 1000  # Time limit in control steps of an env that has none
DECIMALS = 4  # Numbers of a first observation are compared to so many digits: another processor rounds otherwise
HALF = 32  # Bytes of the SHA-256 of a start's numbers; that of its pictures follows


class GymSimulator(Simulator):
    """One env of somebody else's. Its starts are seeds, since such envs cannot be put into a state.

    Observation: ``observation.images.<camera>`` uint8 (size, size, 3), the middle square; ``observation.state``
    float32 (S,), the chosen numbers of the env's observation (a single zero where it has none); where only some were
    chosen, all of them as ``observation.environment_state``. Action: float32 (A,), the env's own units, clipped to its
    range.
    """

    starts = base.SEED
    draws_at_once = True
    frozen_with = ()  # all of it

    @classmethod
    def check(cls, spec: SimulatorSpec) -> None:
        parse(spec.task)
        super().check(spec)

    @classmethod
    def experts(cls, task: str) -> tuple[str, ...]:
        """Whether the env brings a scripted policy is known once it is open."""
        return (SCRIPTED, RANDOM)

    def __init__(self, spec: SimulatorSpec) -> None:
        """Raises UserError, one line: unknown id or camera, no pixels, actions that are no numbers."""
        self.name, self._same_pictures = parse(spec.task), True
        self.steps, self.total, self.best = 0, 0.0, 0.0
        self._first: dict[str, Any] = {}
        self._drawn: dict[str, np.ndarray] | None = None
        self.env = gym_make.make(self.name, spec.size)
        try:
            self._open(spec)
            self.info = self._discover(spec)
        except BaseException as error:
            self.close()
            if told := gym_make.drawing(self.env, error):
                raise told from error
            raise

    def _open(self, spec: SimulatorSpec) -> None:
        """Begin at seed 0 and take one step, to find out what the env offers."""
        name, box, registered = self.name, self.env.action_space, self.env.spec
        if not isinstance(box, gymnasium.spaces.Box):
            advice = gym_make.like_with_boxes(name.id)
            raise UserError(f"task={spec.task}: takes {box} actions, expected numbers (Box); {advice}")
        self._range = [np.ravel(edge).astype(np.float32) for edge in (box.low, box.high)]
        parts = leaves(self.env.observation_space)
        self._paths = [path for path, part in parts if is_numbers(part) and not is_picture(part)]
        self.cameras = Cameras(self.env, spec.size, spec.cameras or (), spec.task)
        limit = name.steps or getattr(registered, "max_episode_steps", None)
        self._limit_from = "chosen" if name.steps else "its registration" if limit else "it has none of its own"
        self.limit, self.rule = limit or STEPS, Rule("terminated")
        first = self._first_step()
        count = len(self._numbers())
        if (most := max((end for _, end in name.state), default=0)) > count:
            raise UserError(f"task={spec.task}: state= names number {most - 1}, the env has {count}")
        self.rule = rule_of(name.success, {**self._first, **first}, getattr(registered, "reward_threshold", None))

    def _first_step(self) -> dict[str, Any]:
        """The ``info`` of the first step from seed 0; UserError where it has another interface."""
        try:
            self._begin(0)
            return dict(self.env.step(self._shaped(np.zeros_like(self._range[0])))[-1])
        except UserError:
            raise
        except Exception as error:
            said = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            hint = "; Gymnasium's step gives five values" if "unpack" in said else ""
            raise UserError(f"task={self.name.task}: the env's reset or first step fails ({said}){hint}") from error

    def _discover(self, spec: SimulatorSpec) -> EnvInfo:
        """What the env turned out to be; sets the fingerprint."""
        task, cameras, inside = spec.task, self.cameras, self.env.unwrapped
        (rate, rate_from), low, high = _rate(self.env), *(tuple(edge.tolist()) for edge in self._range)
        sizes = [f"{'.'.join(map(str, p)) or 'observation'} ({np.size(at(self._raw, p))})" for p in self._paths]
        chosen = len(self.observe(draw=False)[STATE])
        some, names = f"{chosen} of " if self.name.state else "", ", ".join(sizes)
        state = f"{some}{len(self._numbers())} numbers: {names}" if names else "none (a single zero)"
        success, made_by = str(self.rule), gym_make.version_of(self.env)
        # What decides whether two recordings belong together; versions and picture sizes are no part of it
        scene = {"task": task, "rate": rate, "steps": self.limit, "offered": cameras.offered, "state": state}
        text = json.dumps({**scene, "low": low, "high": high, "success": success}, sort_keys=True)
        known = {"made_by": made_by, "rate": rate, "scene_sha256": hashlib.sha256(text.encode()).hexdigest()}
        known |= {"task": task, "cameras": list(cameras.cameras), "size": spec.size}
        self._fingerprint = {**known, **(getattr(inside, "versions", None) or gym_make.versions(self.env))}
        others = [other for other in cameras.offered if other not in cameras.cameras]
        more = f" (also offered: {', '.join(others)})" if others else ""
        limit = f"at most {self.limit} steps, {self.limit / rate:.1f} s ({self._limit_from})"
        ranges = ", ".join(f"{least:g} to {most:g}" for least, most in zip(low, high, strict=True))
        lines = (
            f"{task} ({made_by})",
            f"  rate     {rate:g} Hz ({rate_from}), {limit}",
            f"  cameras  {'; '.join(cameras.described(self._raw))}, shown at {spec.size}x{spec.size}{more}",
            f"  state    {state}",
            f"  action   {len(low)} numbers: {ranges}",
            f"  success  {success}",
        )
        ships = callable(getattr(inside, "scripted", None)) or self.name.id in OURS
        experts, shown = (SCRIPTED, RANDOM) if ships else (RANDOM,), (task, cameras.cameras, spec.size)
        return EnvInfo(*shown, rate, self.limit, len(low), chosen, success, (low, high), experts, lines=lines)

    def reset(self, start: InitialState) -> None:
        """The start of a seed. ValueError where it is not the one that was frozen."""
        self._begin(start.seed)
        if not len(start.state):
            return
        now = self.start_state()
        if not np.array_equal(now[:HALF], start.state[:HALF]):
            which = f"start {start.index} (seed {start.seed}) is another one here than when it was frozen"
            raise ValueError(f"{which}: the env or its versions differ; freeze new starts")
        self._same_pictures = bool(np.array_equal(now, start.state))

    def step(self, action: np.ndarray, draw: bool = False) -> None:
        """One control step; ValueError for a wrong shape or numbers that are not finite, before anything moves."""
        action = np.asarray(action, np.float32)
        if action.shape != self._range[0].shape or not np.isfinite(action).all():
            raise ValueError(f"action {action.tolist()}: expected {self._range[0].shape} finite numbers")
        sent = self._shaped(action)
        self._raw, reward, terminated, truncated, told = self.env.step(sent)
        self._drawn = None
        self.steps, self.total, self.best = self.steps + 1, self.total + float(reward), max(self.best, float(reward))
        terminated, truncated = bool(terminated), bool(truncated) or self.steps >= self.limit
        self.over = terminated or truncated
        self.success = self.rule.holds(told, terminated, truncated, self.total)

    def allowed(self, action: np.ndarray) -> np.ndarray:
        return np.ravel(self._shaped(np.asarray(action, np.float32))).astype(np.float32)

    def close(self) -> None:
        with contextlib.suppress(Exception):  # other people's envs end as they like
            super().close()

    def observe(self, draw: bool = True) -> dict[str, np.ndarray]:
        numbers, some = self._numbers(), self.name.state
        found = {STATE: np.concatenate([numbers[a:b] for a, b in some]) if some else numbers}
        found |= {ENVIRONMENT_STATE: numbers} if some else {}
        return self._pictures() | found if draw else found

    def start_state(self) -> np.ndarray:
        """What distinguishes two starts, float64 (64,): two SHA-256, of the numbers and of the pictures now.

        The numbers of the observation and those in the info of ``reset``, to `DECIMALS` digits.
        """
        told = [v for _, v in sorted(self._first.items()) if isinstance(v, np.ndarray | float | np.floating)]
        numbers = np.concatenate([self._numbers(), *map(np.ravel, told)]).astype(np.float64)
        pictures = b"".join(np.ascontiguousarray(frame).tobytes() for frame in self._pictures().values())
        parts = (hashlib.sha256((np.round(numbers, DECIMALS) + 0.0).tobytes()), hashlib.sha256(pictures))
        return np.concatenate([np.frombuffer(part.digest(), np.uint8) for part in parts]).astype(np.float64)

    def fingerprint(self) -> dict[str, Any]:
        return dict(self._fingerprint)

    def expert(self, seed: int, noise: float = 0.0, behaviour: str = EXPERT, name: str = SCRIPTED) -> Demonstrates:
        """Our scripted policy or the env's own, or chance, pushed now and then."""
        return Demonstrator(self, RandomPolicy if name == RANDOM else scripted(self.name.id), seed, noise)

    def stats(self) -> dict[str, Any]:
        """Rewards, and whether the first pictures were those that were frozen."""
        rewards = {"return": round(self.total, 4), "best_reward": round(self.best, 4)}
        return {**rewards, "same_pictures": self._same_pictures}

    def _begin(self, seed: int) -> None:
        self.steps, self.total, self.best, self.over = 0, 0.0, -np.inf, False
        self._raw, told = self.env.reset(seed=seed)
        self._first, self._drawn = dict(told), None
        self.success = self.rule.key in told and self.rule.holds(told, False, False, 0.0)

    def _pictures(self) -> dict[str, np.ndarray]:
        """What the chosen cameras show now, drawn once."""
        if self._drawn is None:
            self._drawn = {image_key(name): frame for name, frame in self.cameras.see(self._raw).items()}
        return self._drawn

    def _numbers(self) -> np.ndarray:
        """All numbers of the observation now, float32 (n,); a single zero where there are none."""
        parts = [np.ravel(np.asarray(at(self._raw, path), np.float32)) for path in self._paths]
        return np.concatenate(parts) if parts else np.zeros(1, np.float32)

    def _shaped(self, action: np.ndarray) -> np.ndarray:
        """What the env is sent: clipped in its own numbers, in which 0.1 is another one, and whole where these are."""
        space = self.env.action_space
        action = np.asarray(action).reshape(space.shape)
        if np.issubdtype(space.dtype, np.integer):
            action = np.rint(np.clip(action, space.low, space.high))
        return np.clip(action.astype(space.dtype), space.low, space.high)


def _rate(env: gymnasium.Env) -> tuple[float, str]:
    """Control steps a second, by the env's metadata or its own step, else that of our own tasks; and by which."""
    if fps := (env.metadata or {}).get("render_fps"):
        return float(fps), "metadata render_fps"
    if step := getattr(env.unwrapped, "dt", 0):
        return 1 / float(step), "env.dt"
    return float(CONTROL_HZ), "assumed: the env does not say"
