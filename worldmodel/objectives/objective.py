"""What distinguishes one objective from plain flow matching: one table, one code path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Objective:
    """How an objective departs from flow matching with one noise level per sample and modality.

    levels: noise levels of a modality's tokens: ``one``, ``dual`` (a masked share takes a second level), or one per
    ``frame``. teacher: whose features the student predicts: none, a weight average's at the ``cleaner`` of the sample's
    levels (Self-Flow), or a little ``nearer`` to the data (SRA). separated: a modality's two noise groups do not attend
    to each other. disperse: dispersive loss. external: features of a frozen encoder are predicted. passes: of the
    regression that replaces the action flow; 0 for a flow.
    """

    levels: Literal["one", "dual", "frame"] = "one"
    teacher: Literal["none", "cleaner", "nearer"] = "none"
    separated: bool = False
    disperse: bool = False
    external: bool = False
    passes: int = 0

    @property
    def sampler(self) -> str:
        """How a model trained this way draws actions: ``flow``, ``regression`` or ``mip``."""
        return ("flow", "regression", "mip")[self.passes]


OBJECTIVES: dict[str, Objective] = {
    # Flow matching; Self-Flow's equations 1 and 2.
    "flow": Objective(),
    # Dual-timestep noise alone: Self-Flow without its representation loss.
    "dual": Objective(levels="dual"),
    # Self-representation alignment (arXiv 2505.02831): teacher at t - 0.2 u, one level for all tokens.
    "sra": Objective(teacher="nearer"),
    # Self-Flow (arXiv 2603.06507): two levels, teacher at the smaller one.
    "self_flow": Objective(levels="dual", teacher="cleaner"),
    # The same with attention blocked between the noise groups (arXiv 2607.02508)
    "separated": Objective(levels="dual", teacher="cleaner", separated=True),
    # Dispersive loss (arXiv 2506.09027).
    "dispersive": Objective(disperse=True),
    # REPA (arXiv 2410.06940): a frozen encoder's features of the clean frames.
    "repa": Objective(external=True),
    # Diffusion forcing (arXiv 2407.01392): every frame has a level of its own.
    "frame": Objective(levels="frame"),
    # Controls that generate nothing: one regression, and MIP's two (arXiv 2512.01809).
    "regression": Objective(passes=1),
    "mip": Objective(passes=2),
}
