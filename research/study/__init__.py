"""Studies: many trainings and evaluations that answer a question, with the rules for its answer written beforehand."""

from typing import TYPE_CHECKING

from research.study.plan import StudyConfig
from worldmodel import lazy

if TYPE_CHECKING:
    from research.study.command import selfflow

__all__ = ["StudyConfig", "selfflow"]
__getattr__ = lazy.names(__name__, command="selfflow")
