"""Studies: many trainings and evaluations that answer a question, with the rules for its answer written beforehand."""

from typing import TYPE_CHECKING, Any

from research.study.plan import StudyConfig

if TYPE_CHECKING:
    from research.study.command import selfflow

__all__ = ["StudyConfig", "selfflow"]


def __getattr__(name: str) -> Any:
    """What computes, loaded when asked for: who reads the keys needs no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from research.study import command

    return getattr(command, name)
