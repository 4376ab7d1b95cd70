"""Training: one loop, exact resume."""

from typing import TYPE_CHECKING, Any

from worldmodel.train.config import TrainConfig

if TYPE_CHECKING:
    from worldmodel.train.loop import train

__all__ = ["TrainConfig", "train"]


def __getattr__(name: str) -> Any:
    """The loop, loaded when asked for: who reads a config needs no torch."""
    if name != "train":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from worldmodel.train.loop import train

    return train
