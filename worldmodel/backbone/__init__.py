"""The network: from a stream of tokens to features. Knows not what is being predicted."""

from typing import TYPE_CHECKING, Any

from worldmodel.backbone.config import BackboneConfig

if TYPE_CHECKING:
    from worldmodel.backbone.precision import fast_dtype
    from worldmodel.backbone.transformer import Backbone, Memory

__all__ = ["Backbone", "BackboneConfig", "Memory", "fast_dtype"]


def __getattr__(name: str) -> Any:
    """What computes, loaded when asked for: who reads a config needs no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from worldmodel.backbone import precision, transformer

    return getattr(precision if name == "fast_dtype" else transformer, name)
