"""The flow: one clock, one path, five modes and the sampler. Knows neither pixels nor robots."""

from worldmodel.flow.modes import MODES, STREAM, Mode
from worldmodel.flow.noise import NoiseDraw
from worldmodel.flow.path import mix, velocity
from worldmodel.flow.sampler import sample

__all__ = ["MODES", "STREAM", "Mode", "NoiseDraw", "mix", "sample", "velocity"]
