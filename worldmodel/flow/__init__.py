"""The flow: one clock, one path, five modes and the sampler. Knows neither pixels nor robots."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from worldmodel.flow.modes import MODES, STREAM, Mode

if TYPE_CHECKING:
    from worldmodel.flow.noise import NoiseDraw
    from worldmodel.flow.path import mix, velocity
    from worldmodel.flow.sampler import sample

__all__ = ["MODES", "STREAM", "Mode", "NoiseDraw", "mix", "sample", "velocity"]
_FILES = {"NoiseDraw": "noise", "mix": "path", "velocity": "path", "sample": "sampler"}


def __getattr__(name: str) -> Any:
    """What computes, loaded when asked for: who reads the modes' names needs no torch."""
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILES[name]}"), name)
