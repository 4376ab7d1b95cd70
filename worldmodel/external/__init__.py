"""Other people's simulators, each in an environment and a process of its own."""

from worldmodel.external.install import InstallConfig, home, install
from worldmodel.external.robosuite import TASKS, RobosuiteConfig, RobosuiteEnv

__all__ = ["TASKS", "InstallConfig", "RobosuiteConfig", "RobosuiteEnv", "home", "install"]
