"""``worldmodel collect``: the scripted expert's episodes, from spawned simulators into a sealed EpisodeStore."""

from typing import TYPE_CHECKING

from worldmodel import lazy
from worldmodel.collect.config import CollectConfig

if TYPE_CHECKING:
    from worldmodel.collect.command import collect

__all__ = ["CollectConfig", "collect"]
__getattr__ = lazy.names(__name__, command="collect")
lazy.callable_package(__name__, "call")
