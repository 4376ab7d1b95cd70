"""``worldmodel collect``: the scripted expert's episodes, from spawned simulators into a sealed EpisodeStore."""

from typing import TYPE_CHECKING

from worldmodel import lazy

if TYPE_CHECKING:
    from worldmodel.collect.command import CollectConfig, collect

__all__ = ["CollectConfig", "collect"]
__getattr__ = lazy.names(__name__, command="CollectConfig collect")
