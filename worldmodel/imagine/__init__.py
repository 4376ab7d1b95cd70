"""Imagining with a trained model: the env made of it, rollouts under actions, offline metrics, pictures."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worldmodel.imagine.env import WorldModelEnv, WorldModelVectorEnv

__all__ = ["WorldModelEnv", "WorldModelVectorEnv"]


def __getattr__(name: str) -> Any:
    """The env, loaded when asked for: who reads the keys of a command needs no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from worldmodel.imagine import env

    return getattr(env, name)
