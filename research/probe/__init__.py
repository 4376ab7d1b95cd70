"""``worldmodel probe``: what a frozen model's features say about the scene, by layer and noise level."""

from research.probe.command import ProbeConfig, measure, probe

__all__ = ["ProbeConfig", "measure", "probe"]
