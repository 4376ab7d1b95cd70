"""``worldmodel encode``: a frozen encoder's features of every recorded frame, computed once, for the REPA objective."""

from typing import TYPE_CHECKING, Any

from research.encode.config import EncodeConfig

if TYPE_CHECKING:
    from research.encode.command import encode

__all__ = ["EncodeConfig", "encode"]


def __getattr__(name: str) -> Any:
    """What computes, loaded when asked for: who reads the keys needs no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from research.encode import command

    return getattr(command, name)
