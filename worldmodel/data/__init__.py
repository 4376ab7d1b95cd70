"""Recorded episodes on disk: a Zarr 3 store that any Zarr reader opens; its writer and checker load on first use."""

from typing import TYPE_CHECKING

from worldmodel import lazy
from worldmodel.data.layout import DamagedStoreError, InterruptedStoreError, StoreError
from worldmodel.data.store import EpisodeStore

if TYPE_CHECKING:
    from worldmodel.data.verification import Damage, verify
    from worldmodel.data.writer import StoreWriter

__all__ = [
    "Damage", "DamagedStoreError", "EpisodeStore", "InterruptedStoreError", "StoreError", "StoreWriter", "verify",
]  # fmt: skip
__getattr__ = lazy.names(__name__, verification="Damage verify", writer="StoreWriter")
