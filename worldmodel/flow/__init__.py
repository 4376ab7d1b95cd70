"""The flow: one clock, one path, five modes and the sampler. Knows neither pixels nor robots."""

from typing import TYPE_CHECKING

from worldmodel import lazy
from worldmodel.flow.modes import MODES, ROLLOUT, Mode

if TYPE_CHECKING:
    from worldmodel.flow.noise import NoiseSample
    from worldmodel.flow.path import mix, velocity
    from worldmodel.flow.sampler import sample

__all__ = ["MODES", "ROLLOUT", "Mode", "NoiseSample", "mix", "sample", "velocity"]
__getattr__ = lazy.names(__name__, noise="NoiseSample", path="mix velocity", sampler="sample")
