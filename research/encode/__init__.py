"""``worldmodel encode``: a frozen encoder's features of every recorded frame, computed once, for the REPA objective."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from research.encode.command import EncodeConfig, encode

__all__ = ["EncodeConfig", "encode"]


def __getattr__(name: str) -> Any:
    """The command, loaded when asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from research.encode import command

    return getattr(command, name)
