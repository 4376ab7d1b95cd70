"""What is learned: which losses and how much of each, and how much noise; values for ``worldmodel train``."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worldmodel.config import known, option
from worldmodel.objectives.objective import OBJECTIVES, Objective
from worldmodel.tokens.timesteps import ACTIONS, FRAMES, SELF_NOISE_LEVEL, TimestepDistribution

if TYPE_CHECKING:
    from worldmodel.tokens.modality import Modality


@dataclass(frozen=True)
class ObservationNoise:
    """Noise put on observed frames while training, of which the model is given the level; acting has none.

    With a teacher, whose tokens are all at the smaller level, the student's features of them are aligned as well.
    """

    high: float = option("each sample's level is drawn from U[0, high]; 0.2 in the Self-Flow paper's experiment", 0.0)
    masked: float = option("share of the observed frames' tokens that take a second level, from U[0, 1]", 0.0)

    def __post_init__(self) -> None:
        if not (0 <= self.high <= 1 and 0 <= self.masked <= 0.5):
            raise ValueError(f"noise.observed: high={self.high}, masked={self.masked}; expected [0, 1] and [0, 0.5]")


@dataclass(frozen=True)
class NoiseConfig:
    """Noise distributions of the modalities: frames are drawn noisy, actions broadly, so that few action steps suffice.

    rollout: of the next step's frames and state alike; often pure, since rollouts take one or two sampling steps.
    """

    frames: TimestepDistribution = FRAMES
    actions: TimestepDistribution = ACTIONS
    observed: ObservationNoise = field(default_factory=ObservationNoise)
    rollout: TimestepDistribution = field(default_factory=lambda: TimestepDistribution(mean=1.08, p_max=0.25))

    def law(self, name: str, modality: "Modality") -> TimestepDistribution:
        """Of one modality: its own, where it is not configured here."""
        return {"frames": self.frames, "actions": self.actions}.get(name, modality.noise)


@dataclass(frozen=True)
class ObjectiveConfig:
    """Which losses, and how much of each. Further modalities have the weight of theirs among their own options."""

    name: str = option(
        "flow, dual, sra, self_flow, separated or mip, which have rows in eval/reports; or, experimental and without a "
        "row: dispersive, repa, frame or regression",
        "flow",
    )
    frames: float = option("weight of the frames' mean loss", 1.0)
    actions: float = option("weight of the actions' mean loss", 1.0)
    align: float = option("weight of the representation loss towards the teacher (gamma)", 0.8)
    student: float = option("block where the representation is read, as a share of the depth", 0.3)
    teacher: float = option("block where its target comes from, as a share of the depth", 0.7)
    centre: bool = option("subtract the batch mean of the teacher's features", False)
    external: float = option("weight of REPA's loss", 0.5)
    disperse: float = option("weight of the dispersive loss", 0.5)
    draws: int = option("noise samples per observation in policy mode, where it is encoded once", 2)
    body: float = option("weight of the next state's mean loss, in rollout mode", 0.1)
    rollout: float = option("weight of all losses of a model with a memory, in rollout mode", 10.0)
    moving: float = option("further weight of pixels that change, in these", 4.0)
    l1: float = option("weight of the frames' mean absolute error beside the squared one, in rollout mode", 0.0)

    def __post_init__(self) -> None:
        known("objective.name", self.name, OBJECTIVES)
        if not 0 < self.student < self.teacher <= 1:
            found = f"objective.student={self.student}, teacher={self.teacher}"
            raise ValueError(f"{found}: expected 0 < student < teacher <= 1")
        if not 1 <= self.draws <= 256:
            raise ValueError(f"objective.draws={self.draws}: expected 1 to 256")

    @property
    def spec(self) -> Objective:
        """What ``name`` stands for."""
        return OBJECTIVES[self.name]

    def weight(self, name: str, modality: "Modality") -> float:
        """Of one modality's loss: its own, where it is not configured here."""
        return {"frames": self.frames, "actions": self.actions}.get(name, modality.weight)

    def repeats(self) -> int:
        """Noise samples per observation in policy mode; a regression has as many as it has passes."""
        return self.spec.passes or self.draws

    def taps(self, depth: int) -> tuple[int, int]:
        """Blocks read by student and teacher, counted from 1: 0.3 and 0.7 of the depth (Self-Flow A.3)."""
        student = max(1, round(self.student * depth))
        return student, min(depth, max(student + 1, round(self.teacher * depth)))


@dataclass(frozen=True)
class RolloutConfig:
    """How imagined rollouts are learned, where modes.rollout is above 0.

    ``history_bias`` teaches a model to correct colours that drift over long rollouts, ``history_mixup`` to repaint what
    has become faint.
    """

    window: int = option("time steps of history that the model is given, the present one included", 4)
    noise: float = option("frames of the history take noise from U[0, noise]; the model is given its level", 0.2)
    p_self: float = option("share of rollout steps whose last history frames are imagined, without gradient", 0.5)
    burn_in: int = option("time steps before the window that may be imagined too", 0)
    history_bias: float = option("every other clip's history is off by a smooth error of at most this size", 0.0)
    history_mixup: float = option("likewise, they are mixed with another clip's by this share at most", 0.0)
    shift: float = option("of noise levels in sampling; below 1 they are finer where noise is low: sharper frames", 1.0)
    memory: tuple[int, ...] = option(
        "how many steps ago the remembered time steps lie, as [1,3,8,24]: the next frame is then regressed from them "
        "and the present one in one pass; empty: the last `window` ones, and a flow (experimental)",
        (),
    )
    p_real: float = option("share of a memory's rollouts that only observe: each step is from a recorded frame", 0.35)
    longest: int = option("steps that the others imagine at most; half of them less than a tenth of it", 160)
    grow: int = option("rollout steps of training over which `longest` is reached", 2000)

    def __post_init__(self) -> None:
        if self.memory and (self.memory[0] < 1 or list(self.memory) != sorted(set(self.memory))):
            raise ValueError(f"rollout.memory={self.memory}: expected steps ago in ascending order, from 1")
        before, share = 16 - self.window, "a share in [0, 1]"
        bounds = {
            "longest": (2, math.inf, "at least 2 steps"),
            "window": (1, 16, "1 to 16 time steps"),
            "burn_in": (0, before, f"0 to {before}, the chunk's 16 less window"),
            "noise": (SELF_NOISE_LEVEL, 1, f"{SELF_NOISE_LEVEL} to 1; the first is the level of imagined frames"),
            "p_self": (0, 1, share),
            "history_bias": (0, 1, "a standard deviation in [0, 1]"),
            "history_mixup": (0, 1, share),
            "shift": (0.1, 10, "0.1 to 10; 1 is even steps"),
        }
        for name, (low, high, expected) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"rollout.{name}={getattr(self, name)}: expected {expected}")
