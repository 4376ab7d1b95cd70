"""Studies: many trainings and evaluations that answer a question, with the rules for its answer written beforehand."""

from worldmodel.study.plan import StudyConfig
from worldmodel.study.verb import selfflow

__all__ = ["StudyConfig", "selfflow"]
