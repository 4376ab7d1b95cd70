"""worldmodel inside LeRobot. Importing this registers the policy, its optimiser and the env, all as ``worldmodel``."""

from lerobot_policy_worldmodel import older
from lerobot_policy_worldmodel.configuration_worldmodel import WorldModelConfig
from lerobot_policy_worldmodel.env import WorldModelEnv

__all__ = ["WorldModelConfig", "WorldModelEnv"]

older.install()
