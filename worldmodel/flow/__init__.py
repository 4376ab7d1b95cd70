"""The flow: one clock, one path, the losses and the samplers. Knows neither pixels nor robots."""

from worldmodel.flow.arms import ARMS, Arm
from worldmodel.flow.modes import MODES, STREAM, Mode
from worldmodel.flow.noise import NoiseConfig, NoiseDraw, NoiseLaw, draw_noise
from worldmodel.flow.objective import ObjectiveConfig, absolute_loss, alignment, flow_loss
from worldmodel.flow.path import mix, velocity
from worldmodel.flow.sampler import sample

__all__ = [
    "ARMS",
    "MODES",
    "STREAM",
    "Arm",
    "Mode",
    "NoiseConfig",
    "NoiseDraw",
    "NoiseLaw",
    "ObjectiveConfig",
    "absolute_loss",
    "alignment",
    "draw_noise",
    "flow_loss",
    "mix",
    "sample",
    "velocity",
]
