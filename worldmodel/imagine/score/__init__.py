"""``worldmodel score``: the scorecard of a checkpoint on recordings, open loop, where no simulator is needed."""

from worldmodel.imagine.score.command import measure, score
from worldmodel.imagine.score.config import ScoreConfig

__all__ = ["ScoreConfig", "measure", "score"]
