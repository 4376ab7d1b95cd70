"""Studies: many trainings and evaluations that answer a question, with the rules for its answer written beforehand."""

from research.study.plan import StudyConfig
from research.study.verb import selfflow

__all__ = ["StudyConfig", "selfflow"]
