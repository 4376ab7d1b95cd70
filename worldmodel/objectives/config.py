"""What is learned: which losses and how much of each, and how much noise; values for ``worldmodel train``."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches

from worldmodel.flow.modes import DOUBT
from worldmodel.objectives.arms import ARMS, Arm
from worldmodel.tokens import Actions, Frames
from worldmodel.tokens.modality import Modality, NoiseLaw


@dataclass(frozen=True)
class ObservedLaw:
    """Noise put on observed frames while training; the model is told how much. Acting always sees them clean.

    high: every sample's level is drawn from U[0, high] (0.2 in the Self-Flow paper's robot experiment, 0 for none).
    masked: share of the observed frames' tokens that take a second level, from U[0, 1]; with a teacher, which sees them
    all at the smaller level, what the student makes of them is aligned as well.
    """

    high: float = 0.0
    masked: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.high <= 1 and 0 <= self.masked <= 0.5):
            raise ValueError(f"noise.observed: high={self.high}, masked={self.masked}; expected [0, 1] and [0, 0.5]")


@dataclass(frozen=True)
class NoiseConfig:
    """Noise laws of the modalities: frames are drawn noisy, actions broadly, so that few action steps suffice.

    stream: of the next moment's frames and state alike; often pure, since streams are sampled in one or two steps.
    """

    frames: NoiseLaw = Frames.noise
    actions: NoiseLaw = Actions.noise
    observed: ObservedLaw = field(default_factory=ObservedLaw)
    stream: NoiseLaw = field(default_factory=lambda: NoiseLaw(mean=1.08, pure=0.25))

    def law(self, name: str, modality: Modality) -> NoiseLaw:
        """That of one modality: its own, where this says nothing of it."""
        return {"frames": self.frames, "actions": self.actions}.get(name, modality.noise)


@dataclass(frozen=True)
class ObjectiveConfig:
    """Which losses, and how much of each.

    kind: the arm: flow, dual, sra, self_flow, separated or mip, which have rows in eval/reports; or dispersive, repa,
    frame or regression, which are experimental: tested, but without a row.
    frames, actions, body: weights of the modalities' means; further modalities have theirs among their own options.
    plain: weight of the mean absolute error of a stream's frames beside the squared one (see `stream_loss`).
    carried: weight of that of the warped last frame alone, before anything is painted over it.
    align: weight of the representation loss towards the teacher (gamma, 0.8). student, teacher: blocks where it is read
    and where its target comes from, as shares of the depth. centre: subtract the batch mean of the teacher's features.
    external: weight of REPA's loss (0.5). disperse: weight of the dispersive loss (0.5).
    draws: noise samples per observation in policy mode, where the observation's share of the work is paid once.
    """

    kind: str = "flow"
    frames: float = 1.0
    actions: float = 1.0
    align: float = 0.8
    student: float = 0.3
    teacher: float = 0.7
    centre: bool = False
    external: float = 0.5
    disperse: float = 0.5
    draws: int = 2
    body: float = 0.1
    plain: float = 0.0
    carried: float = 0.0

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

    window: moments that the model looks back on, the present one included. noise: the frames of each moment looked back
    on take noise from U[0, noise], which the model is told. own: share of the stream steps in which the last moments
    looked back on are the model's own, imagined without gradient; how many, 1 to window + lead - 1, is drawn as well.
    lead: so many moments before those looked back on may be the model's own too, so that it learns to go on from where
    a long dream of its own has led. drift: the frames looked back on are, every other time, all off by one smooth
    error of this size at most (standard deviation, frames being in [-1, 1]), and the truth is not: so the model learns
    to come back from where colours have wandered off to in a thousand steps, more than rollouts in training can show.
    fade: likewise, they are mixed with another clip's by this share at most, so that what moves is faint there and must
    be painted again from the robot's state and what was done. shift: of the noise levels that streams are sampled and
    rehearsed in; below 1 they are finer where noise is low, which makes frames sharper.
    """

    window: int = 4
    noise: float = 0.2
    own: float = 0.5
    lead: int = 0
    drift: float = 0.0
    fade: float = 0.0
    shift: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.window <= 16:
            raise ValueError(f"stream.window={self.window}: expected 1 to 16 moments")
        if not 0 <= self.lead <= 16 - self.window:
            raise ValueError(f"stream.lead={self.lead}: expected 0 to {16 - self.window}, the chunk's 16 less window")
        if not DOUBT <= self.noise <= 1:
            raise ValueError(
                f"stream.noise={self.noise}: expected {DOUBT} to 1; imagined frames are told to the model as {DOUBT}"
            )
        if not 0 <= self.own <= 1:
            raise ValueError(f"stream.own={self.own}: expected a share in [0, 1]")
        if not 0 <= self.drift <= 1:
            raise ValueError(f"stream.drift={self.drift}: expected a standard deviation in [0, 1]")
        if not 0 <= self.fade <= 1:
            raise ValueError(f"stream.fade={self.fade}: expected a share in [0, 1]")
        if not 0.1 <= self.shift <= 10:
            raise ValueError(f"stream.shift={self.shift}: expected 0.1 to 10; 1 is even steps")
