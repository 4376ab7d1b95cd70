"""``worldmodel score``: the scorecard of a checkpoint on recordings, open loop, where no simulator is needed."""

from worldmodel.eval.score.measure import measure
from worldmodel.eval.score.verb import ScoreConfig, score
from worldmodel.eval.score.windows import open_clips

__all__ = ["ScoreConfig", "measure", "open_clips", "score"]
