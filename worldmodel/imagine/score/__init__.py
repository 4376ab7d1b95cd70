"""``worldmodel score``: the scorecard of a checkpoint on recordings, open loop, where no simulator is needed."""

from typing import TYPE_CHECKING, Any

from worldmodel.imagine.score.config import ScoreConfig

if TYPE_CHECKING:
    from worldmodel.imagine.score.command import measure, score

__all__ = ["ScoreConfig", "measure", "score"]


def __getattr__(name: str) -> Any:
    """What computes, loaded when asked for: who reads the keys needs no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from worldmodel.imagine.score import command

    return getattr(command, name)
