"""``worldmodel score``: the scorecard of a checkpoint on recordings, open loop, where no simulator is needed."""

from typing import TYPE_CHECKING

from worldmodel import lazy
from worldmodel.imagine.score.config import ScoreConfig

if TYPE_CHECKING:
    from worldmodel.imagine.score.command import measure, score

__all__ = ["ScoreConfig", "measure", "score"]
__getattr__ = lazy.names(__name__, command="measure score")
