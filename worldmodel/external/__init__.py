"""Other people's simulators: any Gymnasium env here, others in an environment and a process of their own."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worldmodel.external.install import InstallConfig, home
    from worldmodel.external.robosuite import TASKS, RobosuiteConfig, RobosuiteEnv

__all__ = ["TASKS", "InstallConfig", "RobosuiteConfig", "RobosuiteEnv", "home"]


def __getattr__(name: str) -> Any:
    """Loaded when asked for: a server in another environment imports this package too, and has no Hydra."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = "robosuite" if name in ("TASKS", "RobosuiteConfig", "RobosuiteEnv") else "install"
    return getattr(import_module(f"worldmodel.external.{module}"), name)
