"""Contact sound as tokens: what was heard during each control step, as a small log-mel spectrogram."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from worldmodel.schema import AUDIO, AUDIO_HZ, CONTROL_HZ, Clip
from worldmodel.tokens.signal import Signal, SignalConfig
from worldmodel.tokens.timesteps import TimestepDistribution

SAMPLES = AUDIO_HZ // CONTROL_HZ  # of one control step
LONG = 256  # samples of one window of the spectrogram
FLOOR = 1e-6  # power below which a band counts as silent, of 1 for a pure tone of full scale
LOWEST = 60.0  # where the lowest band begins, in hertz


@dataclass(frozen=True)
class AudioConfig(SignalConfig):
    """Options of audio. bands: of the mel scale. windows: spectra per control step."""

    key: ClassVar[str] = AUDIO
    row: ClassVar[tuple[int, ...]] = (SAMPLES,)
    in_data: ClassVar[str] = "has no sound; collect it again with microphone=true, or train without modalities.audio"
    in_env: ClassVar[str] = "make the env with microphone=True"

    noise: TimestepDistribution = field(default_factory=lambda: TimestepDistribution(masked=0.5))
    bands: int = 16
    windows: int = 2

    def __post_init__(self) -> None:
        for name, low, high in (("steps", 1, 64), ("bands", 2, 24), ("windows", 1, 8)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"audio.{name}={getattr(self, name)}: expected {low} to {high}")

    def build(self, chunk_size: int, width: int, control_hz: float) -> Audio:
        """The modality's module, with fresh weights."""
        return Audio(self, chunk_size, width, control_hz)


def mel_filters(bands: int) -> Float[Tensor, "bins bands"]:
    """Triangles of equal width on the mel scale, from `LOWEST` to half the sample rate; their tops are 1."""
    low, high = _mel(torch.tensor([LOWEST, AUDIO_HZ / 2], device="cpu")).tolist()
    mels = torch.linspace(low, high, bands + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    hertz = torch.arange(LONG // 2 + 1) * AUDIO_HZ / LONG
    rising = (hertz[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz[:, None]) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0)


def _mel(hertz: Tensor) -> Tensor:
    return 2595 * torch.log10(1 + hertz / 700)


class Audio(Signal):
    """One token per control step, of 400 samples in [-1, 1] each.

    Values are the decimal logarithm of the power in each band of each window, ranged per number by robust quantiles.
    """

    config: AudioConfig
    filters: Float[Tensor, "bins bands"]
    window: Float[Tensor, " long"]

    def __init__(self, config: AudioConfig, chunk_size: int, width: int, control_hz: float) -> None:
        super().__init__(config, config.windows * config.bands, chunk_size, width, control_hz)
        self.register_buffer("filters", mel_filters(config.bands), persistent=False)
        self.register_buffer("window", torch.hann_window(LONG), persistent=False)

    def features(self, rows: Float[Tensor, "*b samples"]) -> Float[Tensor, "*b d"]:
        """Decimal logarithm of the power in every band of every window, from -6; d = windows * bands.

        Windows overlap where they must to fit into a control step: the first begins with it, the last ends with it.
        """
        count = self.config.windows
        starts = torch.linspace(0, SAMPLES - LONG, count).round().long() if count > 1 else [(SAMPLES - LONG) // 2]
        parts = torch.stack([rows[..., int(start) : int(start) + LONG] for start in starts], dim=-2).float()
        power = torch.fft.rfft(parts * self.window).abs().square() / (self.window.sum() / 2) ** 2
        return torch.log10(power @ self.filters + FLOOR).flatten(-2)

    def fit(self, clip: Clip) -> None:
        """Set the ranges from what single control steps sound like. What is loud is rare."""
        self.scaling.fit(self.features(clip.more[AUDIO][:, -1]), quantile=0.002)

    def decode(self, values: Float[Tensor, "*b d"]) -> Float[Tensor, "*b windows bands"]:
        """Model units to the decimal logarithm of power. There is no way back to samples."""
        return super().decode(values).unflatten(-1, (self.config.windows, self.config.bands))
