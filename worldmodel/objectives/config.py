"""What is learned: which losses and how much of each, and how much noise; values for ``worldmodel train``."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

from worldmodel.config import option
from worldmodel.objectives.arms import ARMS, Arm
from worldmodel.tokens.noise_law import ACTIONS, FRAMES, SELF_NOISE_LEVEL, NoiseLaw

if TYPE_CHECKING:
    from worldmodel.tokens.modality import Modality


@dataclass(frozen=True)
class ObservedLaw:
    """Noise put on observed frames while training; the model is told how much. Acting always sees them clean.

    With a teacher, which sees all tokens at the smaller level, what the student makes of them is aligned as well.
    """

    high: float = option("each sample's level is drawn from U[0, high]; 0.2 in the Self-Flow paper's experiment", 0.0)
    masked: float = option("share of the observed frames' tokens that take a second level, from U[0, 1]", 0.0)

    def __post_init__(self) -> None:
        if not (0 <= self.high <= 1 and 0 <= self.masked <= 0.5):
            raise ValueError(f"noise.observed: high={self.high}, masked={self.masked}; expected [0, 1] and [0, 0.5]")


@dataclass(frozen=True)
class NoiseConfig:
    """Noise laws of the modalities: frames are drawn noisy, actions broadly, so that few action steps suffice.

    stream: of the next moment's frames and state alike; often pure, since streams are sampled in one or two steps.
    """

    frames: NoiseLaw = FRAMES
    actions: NoiseLaw = ACTIONS
    observed: ObservedLaw = field(default_factory=ObservedLaw)
    stream: NoiseLaw = field(default_factory=lambda: NoiseLaw(mean=1.08, pure=0.25))

    def law(self, name: str, modality: Modality) -> NoiseLaw:
        """That of one modality: its own, where this says nothing of it."""
        return {"frames": self.frames, "actions": self.actions}.get(name, modality.noise)


@dataclass(frozen=True)
class ObjectiveConfig:
    """Which losses, and how much of each. Further modalities have the weight of theirs among their own options."""

    kind: str = option(
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
    draws: int = option("noise samples per observation in policy mode, where it is read once", 2)
    body: float = option("weight of the next state's mean loss, in stream mode", 0.1)
    plain: float = option("weight of the mean absolute error of a stream's frames beside the squared one", 0.0)
    carried: float = option("weight of the mean absolute error of the warped last frame alone", 0.0)

    def __post_init__(self) -> None:
        if self.kind not in ARMS:
            near = get_close_matches(self.kind, ARMS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"objective.kind={self.kind!r}: expected one of {', '.join(ARMS)}{hint}")
        if not 0 < self.student < self.teacher <= 1:
            raise ValueError(
                f"objective.student={self.student}, teacher={self.teacher}: expected 0 < student < teacher"
            )
        if self.draws < 1:
            raise ValueError(f"objective.draws={self.draws}: expected at least 1")

    @property
    def arm(self) -> Arm:
        """What ``kind`` stands for."""
        return ARMS[self.kind]

    def weight(self, name: str, modality: Modality) -> float:
        """That of one modality's loss: its own, where this says nothing of it."""
        return {"frames": self.frames, "actions": self.actions}.get(name, modality.weight)

    def repeats(self) -> int:
        """Noise samples per observation in policy mode; a regression has as many as it has passes."""
        return self.arm.passes or self.draws

    def taps(self, depth: int) -> tuple[int, int]:
        """Blocks read by student and teacher, counted from 1: 0.3 and 0.7 of the depth (Self-Flow A.3)."""
        student = max(1, round(self.student * depth))
        return student, min(depth, max(student + 1, round(self.teacher * depth)))


@dataclass(frozen=True)
class StreamConfig:
    """How streaming is learned, where modes.stream is above 0.

    With ``drift`` a model learns to come back from where colours have wandered off to in a thousand steps, which is
    more than rollouts in training can show; with ``fade`` it paints what moves again from state and actions.
    """

    window: int = option("moments that the model looks back on, the present one included", 4)
    noise: float = option("frames looked back on take noise from U[0, noise], which the model is told", 0.2)
    own: float = option("share of stream steps whose last moments looked back on are imagined, without gradient", 0.5)
    lead: int = option("moments before those looked back on that may be imagined too", 0)
    drift: float = option(
        "every other clip's frames looked back on are off by a smooth error of at most this size", 0.0
    )
    fade: float = option("likewise, they are mixed with another clip's by this share at most", 0.0)
    shift: float = option("of noise levels in sampling; below 1 they are finer where noise is low: sharper frames", 1.0)

    def __post_init__(self) -> None:
        if not 1 <= self.window <= 16:
            raise ValueError(f"stream.window={self.window}: expected 1 to 16 moments")
        if not 0 <= self.lead <= 16 - self.window:
            raise ValueError(f"stream.lead={self.lead}: expected 0 to {16 - self.window}, the chunk's 16 less window")
        if not SELF_NOISE_LEVEL <= self.noise <= 1:
            least = f"expected {SELF_NOISE_LEVEL} to 1; imagined frames are told to the model as {SELF_NOISE_LEVEL}"
            raise ValueError(f"stream.noise={self.noise}: {least}")
        if not 0 <= self.own <= 1:
            raise ValueError(f"stream.own={self.own}: expected a share in [0, 1]")
        if not 0 <= self.drift <= 1:
            raise ValueError(f"stream.drift={self.drift}: expected a standard deviation in [0, 1]")
        if not 0 <= self.fade <= 1:
            raise ValueError(f"stream.fade={self.fade}: expected a share in [0, 1]")
        if not 0.1 <= self.shift <= 10:
            raise ValueError(f"stream.shift={self.shift}: expected 0.1 to 10; 1 is even steps")
