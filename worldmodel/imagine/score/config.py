"""Options of `worldmodel score`."""

from dataclasses import dataclass

from worldmodel.config import check_range, option


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
        check_range(self, windows=(1, None), batch=(1, None), steps=(1, None), every=(1, None))
        check_range(self, resamples=(1, None), show=(0, None))
        if not 0 <= self.holdout < 1:
            raise ValueError(f"holdout={self.holdout}: expected a share in [0, 1)")
        if not 0 < self.seconds <= 60:
            raise ValueError(f"seconds={self.seconds}: expected above 0, up to 60")
