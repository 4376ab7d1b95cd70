"""The command `play`: a page where a person drives the gripper in an imagined rollout, MuJoCo beside it."""
