"""What distinguishes one objective from plain flow matching: one table, one code path."""

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
    "flow": Objective(),  # Self-Flow's equations 1 and 2
    "dual": Objective(levels="dual"),  # Self-Flow without its representation loss
    "sra": Objective(teacher="nearer"),  # self-representation alignment (arXiv 2505.02831): teacher at t - 0.2 u
    "self_flow": Objective(levels="dual", teacher="cleaner"),  # arXiv 2603.06507
    "separated": Objective(levels="dual", teacher="cleaner", separated=True),  # arXiv 2607.02508
    "dispersive": Objective(disperse=True),  # arXiv 2506.09027
    "repa": Objective(external=True),  # arXiv 2410.06940: a frozen encoder's features of the clean frames
    "frame": Objective(levels="frame"),  # diffusion forcing (arXiv 2407.01392)
    "regression": Objective(passes=1),  # a control that generates nothing
    "mip": Objective(passes=2),  # likewise, with two passes (arXiv 2512.01809)
}
