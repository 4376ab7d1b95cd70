"""``worldmodel encode``: a frozen encoder's features of every recorded frame, computed once, for the REPA objective."""

from typing import TYPE_CHECKING

from research.encode.config import EncodeConfig
from worldmodel import lazy

if TYPE_CHECKING:
    from research.encode.command import encode

__all__ = ["EncodeConfig", "encode"]
__getattr__ = lazy.names(__name__, command="encode")
