"""Keys of ``worldmodel bench``."""

from __future__ import annotations

from dataclasses import dataclass

from worldmodel.config import closest, option

PARTS = ("act", "simulate", "collect", "load", "imagine", "streaming", "train", "objectives")
ON_REQUEST = ("peers",)
"""Parts that take minutes."""


@dataclass(frozen=True)
class BenchConfig:
    """What to measure, and where the figures go."""

    out: str = option("folder for bench.json", "outputs/bench")
    parts: tuple[str, ...] = option("what to measure, in this order; further: peers", PARTS)
    checkpoint: str = option("shipped, or the folder of a checkpoint", "shipped")
    task: str = option("place_can or lift_can", "place_can")
    episodes: int = option("held-out episodes to record, for loading, imagining and training", 12)
    seconds: float = option("how long simulators, loaders and peers are timed", 5.0)
    threads: int = option("CPU cores for acting and training", 2)
    steps: int = option("training steps that are timed", 120)

    def __post_init__(self) -> None:
        for part in self.parts:
            if part not in (known := (*PARTS, *ON_REQUEST)):
                raise ValueError(f"parts={part}: no such part; {closest(part, known)}")
        for name in ("episodes", "seconds", "threads", "steps"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}={getattr(self, name)}: expected more than 0")
