"""The verb ``demo``: a robot at work, and beside each real frame the one its model had imagined for that moment."""

from worldmodel.demo.command import DemoConfig, demo

__all__ = ["DemoConfig", "demo"]
