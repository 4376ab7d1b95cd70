"""The command ``demo``: a robot at work, and beside each real frame the one its model had imagined for it."""

from typing import TYPE_CHECKING

from worldmodel import lazy
from worldmodel.demo.config import DemoConfig

if TYPE_CHECKING:
    from worldmodel.demo.command import demo

__all__ = ["DemoConfig", "demo"]
__getattr__ = lazy.names(__name__, command="demo")
