"""``worldmodel probe``: what a frozen model's features say about the scene, by layer and noise level."""

from typing import TYPE_CHECKING, Any

from research.probe.config import ProbeConfig

if TYPE_CHECKING:
    from research.probe.command import measure, probe

__all__ = ["ProbeConfig", "measure", "probe"]


def __getattr__(name: str) -> Any:
    """What computes, loaded when asked for: who reads the keys needs no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from research.probe import command

    return getattr(command, name)
