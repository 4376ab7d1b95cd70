"""``worldmodel collect``: the scripted expert's episodes, from spawned simulators into a sealed EpisodeStore."""

from typing import TYPE_CHECKING

from worldmodel import lazy

if TYPE_CHECKING:
    from worldmodel.collect.verb import CollectConfig, collect

__all__ = ["CollectConfig", "collect"]
__getattr__ = lazy.names(__name__, verb="CollectConfig collect")
