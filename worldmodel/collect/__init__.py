"""``worldmodel collect``: the scripted expert's episodes, from spawned simulators into a sealed EpisodeStore."""

from worldmodel.collect.verb import CollectConfig, collect

__all__ = ["CollectConfig", "collect"]
