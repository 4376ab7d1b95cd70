"""The command ``play``: a page where a person drives the gripper in an imagined rollout, MuJoCo beside it."""

from worldmodel.play.command import PlayConfig, play

__all__ = ["PlayConfig", "play"]
