"""``worldmodel probe``: what a frozen model's features say about the scene, by layer and noise level."""

from typing import TYPE_CHECKING

from research.probe.config import ProbeConfig
from worldmodel import lazy

if TYPE_CHECKING:
    from research.probe.command import measure, probe

__all__ = ["ProbeConfig", "measure", "probe"]
__getattr__ = lazy.names(__name__, command="measure probe")
