"""``worldmodel bench``: how fast this machine acts, trains and simulates, and how well the model imagines."""

from typing import TYPE_CHECKING, Any

from worldmodel.bench.config import BenchConfig

if TYPE_CHECKING:
    from worldmodel.bench.command import bench

__all__ = ["BenchConfig", "bench"]


def __getattr__(name: str) -> Any:
    """The verb, loaded when asked for: simulators are spawned from this package, and need no torch."""
    if name != "bench":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from worldmodel.bench.command import bench

    return bench
