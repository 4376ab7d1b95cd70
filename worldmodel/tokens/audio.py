"""Contact sound as tokens: what was heard during each control step, as a small log-mel spectrogram."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from worldmodel.schema import AUDIO, AUDIO_HZ, CONTROL_HZ, Clip
from worldmodel.tokens.scaling import Scaling

SAMPLES = AUDIO_HZ // CONTROL_HZ
"""Samples of one control step."""
LONG = 256
"""Samples of one window of the spectrogram."""
FLOOR = 1e-6
"""Power below which a band counts as silent, of 1 for a pure tone of full scale."""
LOWEST = 60.0
"""Where the lowest band begins, in hertz."""


@dataclass(frozen=True)
class AudioConfig:
    """How much is heard, and how finely.

    steps: control steps of the past that are given. bands: of the mel scale. windows: spectra per control step.
    """

    steps: int = 8
    bands: int = 16
    windows: int = 2

    def __post_init__(self) -> None:
        for name, low, high in (("steps", 1, 64), ("bands", 2, 24), ("windows", 1, 8)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"audio.{name}={getattr(self, name)}: expected {low} to {high}")


def mel_filters(bands: int) -> Float[Tensor, "bins bands"]:
    """Triangles of equal width on the mel scale, from `LOWEST` to half the sample rate; their tops are 1."""
    mels = torch.linspace(float(_mel(torch.tensor(LOWEST))), float(_mel(torch.tensor(AUDIO_HZ / 2))), bands + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    hertz = torch.arange(LONG // 2 + 1) * AUDIO_HZ / LONG
    rising = (hertz[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz[:, None]) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0)


def _mel(hertz: Tensor) -> Tensor:
    return 2595 * torch.log10(1 + hertz / 700)


class Audio(nn.Module):
    """One token per control step. Past ones are given with the observation, future ones wanted whenever frames are.

    Values are the decimal logarithm of the power in each band of each window, ranged per number by robust quantiles.
    ``clip.more["observation.audio"]`` holds what was heard until the observation, float32 (B, steps, 400) in [-1, 1],
    silent before the episode began; ``clip.more_future`` the same of the chunk's control steps, (B, horizon, 400), and
    under ``observation.audio.valid``, bool (B, horizon), which of them lie within the episode.
    """

    role: Literal["actions", "frames"] = "frames"
    filters: Float[Tensor, "bins bands"]
    window: Float[Tensor, " long"]

    def __init__(self, config: AudioConfig, horizon: int, width: int, rate: float) -> None:
        super().__init__()
        self.config, self.horizon, self.rate = config, horizon, rate
        dim = config.windows * config.bands
        self.register_buffer("filters", mel_filters(config.bands), persistent=False)
        self.register_buffer("window", torch.hann_window(LONG), persistent=False)
        self.scaling = Scaling((dim,))
        self.embed = nn.Sequential(nn.Linear(dim, width), nn.SiLU(), nn.Linear(width, width))
        self.past = nn.Parameter(torch.randn(config.steps, width) * 0.02)
        self.slot = nn.Parameter(torch.randn(horizon, width) * 0.02)
        self.head = nn.Linear(width, dim)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def spectrum(self, samples: Float[Tensor, "*b samples"]) -> Float[Tensor, "*b d"]:
        """Decimal logarithm of the power in every band of every window, from -6; d = windows * bands.

        Windows overlap where they must to fit into a control step: the first begins with it, the last ends with it.
        """
        count = self.config.windows
        starts = torch.linspace(0, SAMPLES - LONG, count).round().long() if count > 1 else [(SAMPLES - LONG) // 2]
        parts = torch.stack([samples[..., int(start) : int(start) + LONG] for start in starts], dim=-2).float()
        power = torch.fft.rfft(parts * self.window).abs().square() / (self.window.sum() / 2) ** 2
        return torch.log10(power @ self.filters + FLOOR).flatten(-2)

    def encode(self, samples: Float[Tensor, "*b samples"]) -> Float[Tensor, "*b d"]:
        """Samples to model units, about [-1, 1]."""
        return self.scaling.encode(self.spectrum(samples))

    def decode(self, values: Float[Tensor, "*b d"]) -> Float[Tensor, "*b windows bands"]:
        """Model units to the decimal logarithm of power. There is no way back to samples."""
        return self.scaling.decode(values).unflatten(-1, (self.config.windows, self.config.bands))

    def shape(self, batch: int, moments: int) -> tuple[int, int, int]:
        """(B, horizon, d), whatever frames are asked for."""
        return batch, self.horizon, self.config.windows * self.config.bands

    def truth(self, clip: Clip, wanted: bool) -> Float[Tensor, "B H d"]:
        """What was really heard during the chunk's control steps."""
        return self.encode(clip.more_future[AUDIO])

    def valid(self, clip: Clip) -> Bool[Tensor, "B H"]:
        """Control steps before the episode's end."""
        return clip.more_future[f"{AUDIO}.valid"]

    def tokens(self, values: Float[Tensor, "B H d"]) -> Float[Tensor, "B H D"]:
        """Embed (noisy) values of the future."""
        return self.embed(values.to(self.slot.dtype)) + self.slot

    def when(self, at: Int[Tensor, "B F"] | None, rate: float, device: torch.device) -> Float[Tensor, "H 3"]:
        """What is heard during control step k is known at (k + 1) / rate seconds; sound has no row or column."""
        return _places((torch.arange(self.horizon, device=device) + 1) / rate)

    def read(self, features: Float[Tensor, "B H D"], last: Tensor | None = None) -> Float[Tensor, "B H d"]:
        """The clean values that the features predict, in model units."""
        return self.head(features).float()

    def observed(self, heard: Float[Tensor, "B P samples"]) -> Float[Tensor, "B P D"]:
        """Embed what was heard until the observation."""
        if heard.shape[1:] != (self.config.steps, SAMPLES):
            expected = (self.config.steps, SAMPLES)
            raise ValueError(f"{AUDIO} has shape {tuple(heard.shape[1:])} per observation, expected {expected}")
        return self.embed(self.encode(heard).to(self.past.dtype)) + self.past

    def before(self, device: torch.device) -> Float[Tensor, "P 3"]:
        """Places of the observed tokens: the last was heard until the observation itself, at 0 seconds."""
        return _places((torch.arange(self.config.steps, device=device) + 1 - self.config.steps) / self.rate)


def _places(seconds: Tensor) -> Tensor:
    return torch.stack([seconds, torch.zeros_like(seconds), torch.zeros_like(seconds)], dim=-1)
