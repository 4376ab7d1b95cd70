"""The verb ``play``: a page on this machine where a person drives the gripper in the imagination, MuJoCo beside it."""

from worldmodel.play.command import PlayConfig, play

__all__ = ["PlayConfig", "play"]
