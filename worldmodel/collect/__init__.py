"""``worldmodel collect``: the scripted expert's episodes, from spawned simulators into a sealed EpisodeStore."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worldmodel.collect.command import CollectConfig, collect

__all__ = ["CollectConfig", "collect"]


def __getattr__(name: str) -> Any:
    """The verb, loaded when asked for: workers import this package too, and need neither Hydra nor a progress bar."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from worldmodel.collect import command

    return getattr(command, name)
