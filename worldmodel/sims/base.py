"""The one interface of a simulator. Each is one file that has it, and one line in `SIMULATORS`."""

import functools
import hashlib
import importlib.metadata
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from jaxtyping import Float, Float64

from worldmodel.config import UserError
from worldmodel.schema import Arrays

SIMULATORS = {
    "": "worldmodel.sims.can.simulator:CanSimulator",
    "gym": "worldmodel.sims.gymnasium.simulator:GymSimulator",
    "metaworld": "worldmodel.sims.gymnasium.simulator:GymSimulator",
    "robosuite": "worldmodel.sims.robosuite.simulator:RobosuiteSimulator",
}
"""Module and class of a simulator by what stands before the colon of a task's name; ours have none."""

TASKS_GROUP = "worldmodel.tasks"
"""Entry points of installed packages with tasks: a name, or the beginning of names, to ``module:NAME``."""

STATE, SEED = "state", "seed"
"""Kinds of starts: the simulator's whole state, or, for those that cannot be put into one, a seed."""
EXPERT, NOISY, PLAY, RANDOM, RETRACE, KEYS = "expert", "noisy", "play", "random", "retrace", "keys"
"""Behaviours that an expert may show; every simulator with an expert has the first."""
SCRIPTED = "scripted"


@functools.cache
def _offered(task: str, prefix: str) -> str:
    """What an installed package offers for a task's name or its beginning; empty for nothing."""
    offered = {point.name: point.value for point in importlib.metadata.entry_points(group=TASKS_GROUP)}
    return offered.get(task) or offered.get(prefix, "")


def state_hash(state: np.ndarray) -> str:
    """SHA-256 (hex) of one state vector as little-endian float64."""
    return hashlib.sha256(np.ascontiguousarray(state, "<f8").tobytes()).hexdigest()


@dataclass(frozen=True)
class InitialState:
    """Where an episode begins: row ``index`` of a starts file, or any other start.

    seed: draws the start, and the look of perturbed scenes; below 0 for none. state: float64 (S,), the whole simulator
    state, or what a seed's start must hash to; empty where the seed alone decides. sha256: of the state; empty where
    the start was not frozen.
    """

    index: int
    seed: int
    state: Float64[np.ndarray, " size"] = field(default_factory=lambda: np.empty(0, np.float64))
    sha256: str = ""


@dataclass(frozen=True)
class StepResult:
    """Where an episode stands after some actions.

    observation: what a policy is shown now, None once the episode is over or where its start was ``refused``.
    frames: one dict (camera key -> uint8 (H, W, 3)) per step executed, where recorded. stats: the simulator's own
    summary of the episode (see `Simulator.stats`), with the last result.
    """

    observation: Arrays | None
    steps: int
    done: bool
    success: bool
    frames: tuple[Arrays, ...] = ()
    stats: Mapping[str, Any] = field(default_factory=dict)
    refused: str = ""


@dataclass(frozen=True)
class EnvInfo:
    """What a simulator turned out to be. Sizes in pixels, rate in hertz, ``max_steps`` in control steps.

    action_range: lowest and highest action where data must say so; None for our own convention. experts: names that
    `Simulator.expert` takes. task_summary: what the robot does, as the end of a sentence. lines: for people.
    """

    task: str
    cameras: tuple[str, ...]
    size: int
    rate: float
    max_steps: int
    action_dim: int
    state_dim: int
    success: str
    action_range: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    experts: tuple[str, ...] = (SCRIPTED,)
    task_summary: str = ""
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class SimulatorSpec:
    """Which simulator, and what it shows. Picklable: processes are given it.

    cameras: None for the simulator's own choice. history: past control steps wanted of an observation key. n_obs_steps:
    how many observations in a row a policy is shown. keys: further observation keys to switch on. kind: module and
    class, found in `SIMULATORS` unless given, or FILE.py:NAME, or what an installed package offers for `TASKS_GROUP`.
    """

    task: str
    cameras: tuple[str, ...] | None = None
    size: int = 96
    perturb: str = "none"
    history: Mapping[str, int] = field(default_factory=dict)
    n_obs_steps: int = 1
    keys: tuple[str, ...] = ()
    kind: str = ""

    def __post_init__(self) -> None:
        prefix = self.task.partition(":")[0]
        own = self.task if prefix.endswith(".py") else "" if prefix in SIMULATORS else _offered(self.task, prefix)
        object.__setattr__(self, "kind", self.kind or own or SIMULATORS.get(prefix, SIMULATORS[""]))

    @property
    def switched_on(self) -> tuple[str, ...]:
        """Observation keys that the simulator must show beside cameras and state."""
        return tuple(dict.fromkeys((*self.keys, *self.history)))


@dataclass(frozen=True)
class ExpertStep:
    """``label`` is the clean action, ``executed`` the one to send; they differ only while a push is active."""

    label: np.ndarray
    executed: np.ndarray
    phase: int = 0


class Demonstrates(Protocol):
    """Acts by looking at the simulator itself. An attribute ``steps`` is the length of an episode without a goal."""

    def reset(self) -> None: ...
    def act(self) -> ExpertStep: ...


class Simulator:
    """One simulator of one task. A subclass is made with a `SimulatorSpec` and sets ``info``.

    ``success``: whether the task is solved now; ``over``: whether the env ended the episode, by its time limit say.
    ``env``: what it wraps, if anything; it gives the fingerprint and is closed. Of the class: ``starts``: `STATE` where
    it can be put into any state of its own, else `SEED`. ``optional_keys``: beginnings of observation keys that can be
    switched on. ``mixes``: whether several tasks may take turns in one data set. ``draws_at_once``: whether making one
    draws already, which must happen in a process without CUDA. ``frozen_with``: what of the fingerprint belongs to
    fixed initial states.
    """

    starts: ClassVar[str] = STATE
    perturbations: ClassVar[tuple[str, ...]] = ("none",)
    behaviours: ClassVar[tuple[str, ...]] = (EXPERT,)
    optional_keys: ClassVar[tuple[str, ...]] = ()
    mixes: ClassVar[bool] = False
    draws_at_once: ClassVar[bool] = False
    frozen_with: ClassVar[tuple[str, ...]] = ("mujoco", "scene_sha256")

    info: EnvInfo
    env: Any = None
    success: bool = False
    over: bool = False

    @classmethod
    def check(cls, spec: SimulatorSpec) -> None:
        """UserError or ValueError, one line, for a task, change of look or key that does not exist; starts nothing."""
        if spec.perturb not in cls.perturbations:
            raise UserError(f"perturb={spec.perturb}: {spec.task} cannot be perturbed; leave perturb= out")
        for key in spec.switched_on:
            if not key.startswith(cls.optional_keys or "\n"):
                raise UserError(f"task={spec.task}: {key!r} is wanted, and this simulator does not show it")

    @classmethod
    def experts(cls, task: str) -> tuple[str, ...]:
        """Names of the experts that a task may have, as far as is known before it is opened."""
        return (SCRIPTED,)

    def reset(self, start: InitialState) -> None:
        """Begin. ValueError or UserError where the start does not fit; then nothing has changed."""
        raise NotImplementedError

    def step(self, action: Float[np.ndarray, " A"], draw: bool = False) -> None:
        """One control step. ``draw``: whether every step is looked at, so that it may as well be drawn now."""
        raise NotImplementedError

    def allowed(self, action: Float[np.ndarray, " A"]) -> np.ndarray:
        """The action that `step` carries out when given this one, float32 (A,)."""
        low, high = np.asarray(self.info.action_range or (-np.inf, np.inf), np.float32)
        return np.clip(np.asarray(action, np.float32), low, high)

    def observe(self, draw: bool = True) -> dict[str, np.ndarray]:
        """The observation of the present state; without pictures unless ``draw``."""
        raise NotImplementedError

    def fingerprint(self) -> dict[str, Any]:
        """What must be equal for results to be comparable: "scene_sha256", "cameras", "size", "mujoco" and versions.

        Of a simulator without ``env`` the scene is the file that its class is written in.
        """
        if self.env is not None:
            return dict(self.env.fingerprint())
        source = hashlib.sha256(Path(inspect.getfile(type(self))).read_bytes()).hexdigest()
        shown = {"task": self.info.task, "cameras": list(self.info.cameras), "size": self.info.size}
        return {**shown, "scene_sha256": source, "mujoco": "none", "gl": "none"}

    @property
    def solved(self) -> bool:
        """Whether the task's condition holds, if only for one step."""
        return self.success

    def get_state(self) -> np.ndarray | None:
        """Everything that decides the future, float64 (S,); None where it is unknown."""
        return None

    def start_state(self) -> np.ndarray:
        """What a starts file keeps of the present start, float64 (S,)."""
        state = self.get_state()
        assert state is not None, f"{self.info.task} has no states; say starts = SEED and what identifies a start"
        return state

    def expert(
        self, seed: int, noise: float = 0.0, behaviour: str = EXPERT, name: str = SCRIPTED
    ) -> Demonstrates | None:
        """Who demonstrates from ``seed`` on with pushes of strength ``noise``; None where there is no expert."""
        return None

    def stats(self) -> dict[str, Any]:
        """What became of the episode, as JSON values: for sorting failures."""
        return {}

    def close(self) -> None:
        """Free what it holds; safe to call twice."""
        if self.env is not None:
            self.env.close()
