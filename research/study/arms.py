"""The arms of the study, in one table: an objective, a mixture of modes, and what else an arm changes.

To add an arm, add a line. ``changes`` are keys of ``worldmodel train`` (dotted) with their values; everything that an
arm does not change is the plan's, equal for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from worldmodel.config import UserError, closest
from worldmodel.objectives import OBJECTIVES

PREFIX = {"noise.actions.prefix": 8}
"""0 to 8 first actions of a chunk are given, equally often: longer delays are not learned."""


HEARING: Mapping[str, Any] = {"modalities": {"audio": True}}


@dataclass(frozen=True)
class StudyArm:
    """One line of the table.

    kind: objective (`worldmodel.flow.ARMS`). mixture: ``joint`` trains the plan's modes, ``policy`` actions alone.
    question: what the arm answers. changes: training keys that differ from the plan's. matched: train only as
    many steps as the joint arms spend in policy mode, so that actions are seen as often.
    """

    kind: str
    mixture: Literal["joint", "policy"]
    question: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    matched: bool = False

    @property
    def comparable(self) -> bool:
        """Whether its held-out loss is the baseline's: a flow's, of whole chunks, on clean observations."""
        others = any(key.startswith("noise.observed") or key in PREFIX for key in self.changes)
        return not OBJECTIVES[self.kind].passes and not others

    @property
    def uses_audio(self) -> bool:
        """Whether it needs recordings with sound."""
        return bool(self.changes.get("modalities"))

    @property
    def external(self) -> bool:
        """Whether it needs a frozen encoder's features."""
        return OBJECTIVES[self.kind].external


ARMS: dict[str, StudyArm] = {
    # Controls that see no future frames.
    "action_only": StudyArm("flow", "policy", "Do future frames help the policy at all?"),
    "action_only_matched": StudyArm(
        "flow", "policy", "Do they, where both see as many actions (and this arm costs less)?", matched=True
    ),
    "regression": StudyArm("regression", "policy", "Does the policy need a generative objective?"),
    "mip": StudyArm("mip", "policy", "The control to beat: two-step regression."),
    # Flow matching over actions and frames, and what is added to it.
    "flow": StudyArm("flow", "joint", "The baseline of all comparisons."),
    "dual": StudyArm("dual", "joint", "Two noise levels in a sample, without a representation loss."),
    "sra": StudyArm("sra", "joint", "A representation loss without two noise levels."),
    "self_flow": StudyArm("self_flow", "joint", "Both: Self-Flow as published, 10 % of frame tokens masked."),
    "separated": StudyArm("separated", "joint", "Is the second noise level more than augmentation?"),
    "dispersive": StudyArm("dispersive", "joint", "Is any pressure on features as good?"),
    "repa": StudyArm("repa", "joint", "A frozen external encoder's features instead of one's own."),
    "frame": StudyArm("frame", "joint", "A noise level for every frame: diffusion forcing."),
    # Where Self-Flow might do better than as published.
    "self_flow_strong": StudyArm(
        "self_flow",
        "joint",
        "Is 10 % too little asymmetry?",
        {"noise.frames.masked": 0.25, "noise.actions.masked": 0.25},
    ),
    "dual_strong": StudyArm(
        "dual",
        "joint",
        "The same two levels without the representation loss: which of the two is it?",
        {"noise.frames.masked": 0.25, "noise.actions.masked": 0.25},
    ),
    "self_flow_half_masked": StudyArm(
        "self_flow",
        "joint",
        "Is 25 % too little asymmetry?",
        {"noise.frames.masked": 0.5, "noise.actions.masked": 0.5},
    ),
    "self_flow_later": StudyArm(
        "self_flow",
        "joint",
        "Are 0.3 and 0.7 of the depth the wrong layers where there are four?",
        {"objective.student": 0.5, "objective.teacher": 1.0},
    ),
    "self_flow_observed": StudyArm(
        "self_flow",
        "joint",
        "Our policy reads only observed frames: mask those as well.",
        {"noise.observed.high": 0.2, "noise.observed.masked": 0.25},
    ),
    "dual_observed": StudyArm(
        "dual",
        "joint",
        "The same noise on observed frames, without the representation loss.",
        {"noise.observed.high": 0.2, "noise.observed.masked": 0.25},
    ),
    "self_flow_centred": StudyArm(
        "self_flow", "joint", "Does the cosine saturate on what samples share?", {"objective.centre": True}
    ),
    "self_flow_half": StudyArm("self_flow", "joint", "Is the alignment too strong?", {"objective.align": 0.4}),
    "self_flow_gentle": StudyArm(
        "self_flow", "joint", "Does the alignment crowd out the flow?", {"objective.align": 0.1}
    ),
    # Audio, on recordings with a microphone.
    "action_only_heard": StudyArm("flow", "policy", "Does hearing contact help the policy?", HEARING),
    "flow_heard": StudyArm("flow", "joint", "Does it where sound is predicted as well?", HEARING),
    # Chunks that continue actions under way, for delays.
    "action_only_prefix": StudyArm("flow", "policy", "Do chunks that continue others bridge delays?", PREFIX),
    "flow_prefix": StudyArm("flow", "joint", "Do they beside future frames?", PREFIX),
}


def find_arm(name: str) -> StudyArm:
    """The arm of a name. Raises UserError, one line, with the closest known name."""
    if name not in ARMS:
        raise UserError(f"arms={name}: no such arm; {closest(name, ARMS)}")
    return ARMS[name]
