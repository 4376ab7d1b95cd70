"""``worldmodel score``: the scorecard of a checkpoint on recordings, open loop, where no simulator is needed."""

from worldmodel.imagine.score.measure import measure
from worldmodel.imagine.score.verb import ScoreConfig, score
from worldmodel.imagine.score.windows import open_clips

__all__ = ["ScoreConfig", "measure", "open_clips", "score"]
