"""Studies: many trainings and evaluations that answer a question, with the rules for its answer written beforehand."""

from research.study.command import selfflow
from research.study.plan import StudyConfig

__all__ = ["StudyConfig", "selfflow"]
