"""Keys of ``worldmodel probe``."""

from __future__ import annotations

from dataclasses import dataclass, replace

from worldmodel.config import option


@dataclass(frozen=True)
class ProbeConfig:
    """What to probe, on which recordings, and how thoroughly."""

    data: str = option("folder of an EpisodeStore with the can's pose or phases, best one that no model was trained on")
    out: str = option("folder for probe.json, its plots and index.html")
    checkpoint: str = option("shipped, or the folder of a training run or model", "shipped")
    first: int = option("first episode to use; -1 for the first that was held out from the model's training", -1)
    episodes: int = option("episodes to use, at most", 160)
    frames: int = option("time steps per episode, at random", 12)
    noise: tuple[float, ...] = option("noise of the future frame; 0 is clean, 1 pure noise", (0.0, 0.2, 0.5, 0.8))
    ahead: int = option("control steps from the observation to the future frame", 1)
    components: int = option("principal components kept of each token in the grid pooling", 16)
    resamples: int = option("bootstrap resamples of the test episodes", 1000)
    batch: int = option("time steps per forward pass; the first batch fits the poolings", 96)
    threads: int = option("CPU threads; 0 for half of the cores", 0)
    seed: int = option("of the split, the time steps, the noise and the untrained model", 0)
    quick: bool = option("a small size: 48 episodes, 10 time steps, noise 0 and 0.5, 8 components, at most", False)

    def __post_init__(self) -> None:
        for name in ("frames", "ahead", "components", "resamples", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected at least 1")
        if self.episodes < 4:
            raise ValueError(f"episodes={self.episodes}: expected at least 4, to fit, choose and test with")
        if not self.noise or min(self.noise) < 0 or max(self.noise) > 1:
            raise ValueError(f"noise={list(self.noise)}: expected levels from 0 (clean) to 1 (pure noise)")

    def sized(self) -> ProbeConfig:
        """The same, made small by ``quick``."""
        if not self.quick:
            return self
        small = {"episodes": 48, "frames": 10, "components": 8, "batch": 96}
        least = {key: min(value, getattr(self, key)) for key, value in small.items()}
        return replace(self, **least, noise=tuple(n for n in (0.0, 0.5) if n <= max(self.noise)))
