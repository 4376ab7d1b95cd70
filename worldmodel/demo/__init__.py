"""The verb ``demo``: a robot at work, and beside each real frame the one its model had imagined for that moment."""

from typing import TYPE_CHECKING, Any

from worldmodel.demo.config import DemoConfig

if TYPE_CHECKING:
    from worldmodel.demo.verb import demo

__all__ = ["DemoConfig", "demo"]


def __getattr__(name: str) -> Any:
    """What runs, loaded when asked for: who reads the keys needs no torch."""
    if name != "demo":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from worldmodel.demo.verb import demo

    return demo
