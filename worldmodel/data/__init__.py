"""Recorded experience on disk: a Zarr 3 store that any Zarr reader opens, and its fast reader, writer and checker."""

from typing import TYPE_CHECKING, Any

from worldmodel.data.layout import DamagedStoreError, InterruptedStoreError, StoreError
from worldmodel.data.store import EpisodeStore

if TYPE_CHECKING:
    from worldmodel.data.verification import Damage, verify
    from worldmodel.data.writer import StoreWriter

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
    """Writing and checking, loaded when asked for: who reads needs neither."""
    if name in ("Damage", "verify"):
        from worldmodel.data import verification

        return getattr(verification, name)
    if name == "StoreWriter":
        from worldmodel.data.writer import StoreWriter

        return StoreWriter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
