"""The flow: one clock, one path, five modes and the sampler. Knows neither pixels nor robots."""

from typing import TYPE_CHECKING

from worldmodel import lazy
from worldmodel.flow.modes import MODES, STREAM, Mode

if TYPE_CHECKING:
    from worldmodel.flow.noise import NoiseDraw
    from worldmodel.flow.path import mix, velocity
    from worldmodel.flow.sampler import sample

__all__ = ["MODES", "STREAM", "Mode", "NoiseDraw", "mix", "sample", "velocity"]
__getattr__ = lazy.names(__name__, noise="NoiseDraw", path="mix velocity", sampler="sample")
