"""How noisy a modality's tokens are while training: values alone, drawn in `worldmodel.objectives.noise`."""

from dataclasses import dataclass

from worldmodel.config import check_range, option


@dataclass(frozen=True)
class TimestepDistribution:
    """Distribution of one modality's noise: logit-normal with extra mass at high noise."""

    mean: float = option("mean of the logit", 0.0)
    std: float = option("standard deviation of the logit", 1.0)
    p_high: float = option("share of draws from U[0.95, 1] (the Self-Flow paper's low-SNR addition)", 0.05)
    p_max: float = option("share of draws at exactly 1, where every sampler starts", 0.0)
    masked: float = option("share of tokens that take the second level", 0.0)
    prefix: int = option("of actions, up to so many first steps are given clean: those already committed", 0)

    def __post_init__(self) -> None:
        if not 0 <= self.masked <= 0.5:
            raise ValueError(f"masked={self.masked} must lie in [0, 0.5]: more would only exchange the two levels")
        check_range(self, p_high=(0, 1), p_max=(0, 1), std=(0, 100), mean=(-100, 100), prefix=(0, 16))


FRAMES = TimestepDistribution(mean=1.08, masked=0.1)  # noisy
ACTIONS = TimestepDistribution(mean=0.5, std=1.5, p_max=0.25)  # broad, so that few sampling steps suffice
SELF_NOISE_LEVEL = 0.1
"""The noise level of frames that the model imagined itself; observed frames have level 0."""
