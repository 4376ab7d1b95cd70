"""Tokens: signals as rows of numbers that know when, where and how noisy they are."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worldmodel.tokens.actions import Actions
    from worldmodel.tokens.frames import Frames
    from worldmodel.tokens.proprioception import Proprioception
    from worldmodel.tokens.scaling import Scaling
    from worldmodel.tokens.stream import TokenStream
    from worldmodel.tokens.task import Instruction

__all__ = ["Actions", "Frames", "Instruction", "Proprioception", "Scaling", "TokenStream"]
_FILES = {"Instruction": "task", "TokenStream": "stream"}


def __getattr__(name: str) -> Any:
    """What computes, loaded when asked for: who reads a config needs no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILES.get(name, name.lower())}"), name)
