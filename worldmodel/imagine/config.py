"""Options of `worldmodel imagine` and `worldmodel score`."""

from dataclasses import dataclass

from worldmodel.config import check_range, closest, option
from worldmodel.flow import MODES

ROLLOUT = "rollout"


@dataclass(frozen=True)
class ImagineConfig:
    """What to imagine, from which recorded windows, and where the picture goes."""

    mode: str = option("policy, joint, forward, inverse or video: what is given and wanted; rollout: frame by frame")
    data: str = option("folder of an EpisodeStore, or lerobot:FOLDER_OR_REPO_ID")
    checkpoint: str = option("shipped, or the folder of a training run or model", "shipped")
    out: str = option("folder for picture and numbers", "outputs/imagine")
    windows: int = option("windows to measure, at random; all where there are fewer", 64)
    show: int = option("how many of them to draw", 4)
    length: int = option("mode=rollout: frames to imagine from each window; films are written", 40)
    references: str | None = option("mode=rollout: recordings, by commas, that set the range of statistics", None)
    simulate: bool = option("mode=rollout: execute the same actions in MuJoCo, the truth to the rollout's end", False)
    holdout: float = option("use the last episodes only: the share that training kept out; 0 for all", 0.0)
    steps: int = option("sampling steps; rollouts are sharper with 4, faster with 2", 2)
    seed: int = option("of the windows and of the sampling noise", 0)
    threads: int = option("CPU threads; 0 for half of the cores", 0)

    def __post_init__(self) -> None:
        check_range(self, windows=(1, 10**6), show=(1, None), steps=(1, 1000), length=(1, 10**6), seed=(0, None))
        known = (*MODES, ROLLOUT)
        if self.mode != "???" and self.mode not in known:
            raise ValueError(f"mode={self.mode}: no such mode; {closest(self.mode, known)}")
        if not 0 <= self.holdout < 1:
            raise ValueError(f"holdout={self.holdout}: expected a share in [0, 1)")
        if self.simulate and self.mode not in ("???", ROLLOUT):
            raise ValueError(f"simulate=true with mode={self.mode}: expected mode={ROLLOUT}; others compare recordings")


@dataclass(frozen=True)
class ScoreConfig:
    """What to score, and on which recordings."""

    data: str = option("folder of an EpisodeStore, or lerobot:FOLDER_OR_REPO_ID")
    checkpoint: str = option("shipped, or the folder of a training run or model", "shipped")
    out: str | None = option("folder for score.json and index.html; null prints only", None)
    windows: int = option("windows to score, at random; all where there are fewer", 256)
    holdout: float = option("score the last episodes only: the share that training kept out; 0 for all", 0.0)
    seconds: float = option("how far ahead frames are imagined; beyond the model's chunk by chaining", 2.0)
    every: int = option("measure imagined frames at each so many control steps", 2)
    show: int = option("worst cases to show on the page", 6)
    resamples: int = option("bootstrap resamples of episodes, for the intervals", 1000)
    fetch: bool = option("fetch AlexNet's weights for LPIPS (230 MB, once) where they are missing", False)
    batch: int = option("windows per forward pass", 32)
    steps: int = option("sampling steps", 2)
    seed: int = option("of the windows, of the sampling noise and of the resamples", 0)
    threads: int = option("CPU threads; 0 for half of the cores", 0)

    def __post_init__(self) -> None:
        check_range(self, windows=(1, 10**6), batch=(1, 2**16), steps=(1, 1000), every=(1, None))
        check_range(self, resamples=(1, 10**6), show=(0, None), seed=(0, None))
        if not 0 <= self.holdout < 1:
            raise ValueError(f"holdout={self.holdout}: expected a share in [0, 1)")
        if not 0 < self.seconds <= 60:
            raise ValueError(f"seconds={self.seconds}: expected above 0, up to 60")
