"""Recorded episodes on disk: a Zarr 3 store that any Zarr reader opens; its writer and checker load when asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from worldmodel.data.layout import DamagedStoreError, InterruptedStoreError, StoreError
from worldmodel.data.store import EpisodeStore

if TYPE_CHECKING:
    from worldmodel.data.verification import Damage, verify
    from worldmodel.data.writer import StoreWriter

LAZY = {"Damage": "verification", "verify": "verification", "StoreWriter": "writer"}

__all__ = [
    "Damage",
    "DamagedStoreError",
    "EpisodeStore",
    "InterruptedStoreError",
    "StoreError",
    "StoreWriter",
    "verify",
]


def __getattr__(name: str) -> Any:
    """What only those need who write or check a store."""
    if name not in LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{LAZY[name]}"), name)
