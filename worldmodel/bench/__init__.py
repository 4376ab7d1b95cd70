"""``worldmodel bench``: how fast this machine acts, trains and simulates, and how well the model imagines."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worldmodel.bench.command import BenchConfig, bench

__all__ = ["BenchConfig", "bench"]


def __getattr__(name: str) -> Any:
    """The command, loaded when asked for: simulators are spawned from this package, and need no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from worldmodel.bench import command

    return getattr(command, name)
