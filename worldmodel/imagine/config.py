"""What `worldmodel imagine` is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from worldmodel.config import closest, option
from worldmodel.flow import MODES, STREAM


@dataclass(frozen=True)
class ImagineConfig:
    """What to imagine, from which recorded moments, and where the picture goes."""

    mode: str = option("policy, joint, forward, inverse or video: what is given and wanted; stream: frame after frame")
    data: str = option("folder of an EpisodeStore, or lerobot:FOLDER_OR_REPO_ID")
    checkpoint: str = option("shipped, or the folder of a training run or model", "shipped")
    out: str = option("folder for picture and numbers", "outputs/imagine")
    windows: int = option("moments to measure, at random; all where there are fewer", 64)
    show: int = option("how many of them to draw", 4)
    frames: int = option("with mode=stream: frames to imagine from each moment; a film goes with them", 40)
    real: str | None = option(
        "mode=stream: recordings, by commas, whose frames' range dreams should keep to; else data", None
    )
    simulate: bool = option(
        "mode=stream: carry the same actions out in MuJoCo too: the truth to the dream's end", False
    )
    holdout: float = option("use the last episodes only: the share that training kept out; 0 for all", 0.0)
    steps: int = option("sampling steps; dreams (mode=stream) look sharper in 4, 2 are faster", 2)
    seed: int = option("of the moments and of the sampling noise", 0)
    threads: int = option("CPU threads; 0 for half of the cores", 0)

    def __post_init__(self) -> None:
        for name in ("windows", "show", "steps", "frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected at least 1")
        known = (*MODES, STREAM)
        if self.mode != "???" and self.mode not in known:
            raise ValueError(f"mode={self.mode}: no such mode; {closest(self.mode, known)}")
        if not 0 <= self.holdout < 1:
            raise ValueError(f"holdout={self.holdout}: expected a share in [0, 1)")
        if self.simulate and self.mode not in ("???", STREAM):
            raise ValueError(f"simulate=true with mode={self.mode}: expected mode={STREAM}; others compare recordings")
