"""One operation, five modes: which tokens are given, wanted or absent."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["given", "wanted", "absent"]


@dataclass(frozen=True)
class Mode:
    """Roles of the action chunk and of the future frames; the observation is always given.

    Absent tokens are left out of the sequence, so no future leaks into the policy.
    """

    actions: Role
    frames: Role


MODES = {
    "policy": Mode(actions="wanted", frames="absent"),
    "joint": Mode(actions="wanted", frames="wanted"),
    "forward": Mode(actions="given", frames="wanted"),
    "inverse": Mode(actions="wanted", frames="given"),
    "video": Mode(actions="absent", frames="wanted"),
}

ROLLOUT = "rollout"
"""A sixth way to train, for models with a window or a memory; it has no roles.

Frames, state and actions of the last time steps are given, the next frame and state are wanted.
"""
