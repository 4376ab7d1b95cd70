"""Recorded experience on disk: a Zarr 3 store that any Zarr reader opens, and its fast reader, writer and checker."""

from worldmodel.data.layout import DamagedStoreError, InterruptedStoreError, StoreError
from worldmodel.data.store import EpisodeStore
from worldmodel.data.verify import Damage, verify
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
