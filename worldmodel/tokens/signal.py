"""What further modalities have in common: some control steps of a recorded array observed, the chunk's predicted."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from worldmodel.schema import Clip, Recorded
from worldmodel.tokens.embedding import ChunkTokens, Scaling, embedding, zero_head
from worldmodel.tokens.sequence import instants
from worldmodel.tokens.timesteps import TimestepDistribution


@dataclass(frozen=True)
class SignalConfig:
    """A modality's options, saved with the model: ``modalities.<name>.<option>=`` of ``worldmodel train``.

    steps: control steps of the past that are observed. weight: of its loss. noise: of its tokens in training.
    """

    key: ClassVar[str]
    """Of recordings and observations, for example ``observation.temperature``."""
    row: ClassVar[tuple[int, ...]]
    """Shape of what one control step holds under ``key``."""
    role: ClassVar[Literal["actions", "frames"]] = "frames"
    optional: ClassVar[bool] = True
    floor: ClassVar[float] = 0.25
    in_data: ClassVar[str] = ""
    in_env: ClassVar[str] = ""
    """What to say where recordings, or an env's observations, lack it; see `Recorded`."""

    steps: int = 8
    weight: float = 0.2
    noise: TimestepDistribution = field(default_factory=TimestepDistribution)

    def build(self, chunk_size: int, width: int, control_hz: float) -> Signal:
        """The modality's module, with fresh weights: the recorded numbers themselves are what is predicted."""
        return Signal(self, math.prod(self.row), chunk_size, width, control_hz)

    def recorded(self, chunk_size: int) -> Recorded:
        """What the model needs of recordings and observations for it."""
        return Recorded(self.key, self.row, self.steps, chunk_size, self.role, self.in_data, self.in_env)

    @classmethod
    def of(cls, values: dict[str, Any]) -> SignalConfig:
        """From its JSON form, in which whatever keeps its default may be missing. Raises ValueError otherwise."""
        known = asdict(cls())
        if unknown := [name for name in values if name not in known]:
            raise ValueError(f"modality {cls.key!r} has no option {unknown[0]!r}; it has {', '.join(known)}")
        noise = TimestepDistribution(**known["noise"] | dict(values.get("noise") or {}))
        return cls(**{**values, "noise": noise})


class Signal(ChunkTokens):
    """One token per control step. Past ones are given with the observation, future ones wanted or given in a mode.

    ``clip.more[key]`` holds what was observed until now, float32 (B, steps, *row), zeros before the episode began;
    ``clip.more_future[key]`` the chunk's control steps, (B, chunk_size, *row), and ``clip.more_future["<key>.valid"]``,
    bool (B, chunk_size), which lie within the episode. A subclass may define `features` and `fit`.
    """

    with_observation = False

    def __init__(self, config: SignalConfig, dim: int, chunk_size: int, width: int, control_hz: float) -> None:
        super().__init__()
        self.config, self.dim, self.chunk_size, self.control_hz = config, dim, chunk_size, control_hz
        self.role, self.optional, self.floor = config.role, config.optional, config.floor
        self.noise, self.weight = config.noise, config.weight
        self.scaling = Scaling((dim,))
        self.embed = embedding(dim, width)
        self.past = nn.Parameter(torch.randn(config.steps, width) * 0.02)
        self.slot = nn.Parameter(torch.randn(chunk_size, width) * 0.02)
        self.head = zero_head(width, dim)

    def features(self, rows: Float[Tensor, "*b _"]) -> Float[Tensor, "*b d"]:
        """The numbers of each control step that are predicted, physical units: as recorded, put one after another."""
        shape = self.config.row
        return rows.flatten(-len(shape)).float() if shape else rows[..., None].float()

    def fit(self, clip: Clip) -> None:
        """Set the ranges from what single control steps hold."""
        self.scaling.fit(self.features(clip.more[self.config.key][:, -1]))

    def encode(self, rows: Float[Tensor, "*b _"]) -> Float[Tensor, "*b d"]:
        """What was recorded to model units, about [-1, 1]."""
        return self.scaling.encode(self.features(rows))

    def decode(self, values: Float[Tensor, "*b d"]) -> Tensor:
        """Model units to the numbers that `features` gives."""
        return self.scaling.decode(values)

    def truth(self, clip: Clip, wanted: bool) -> Float[Tensor, "B H d"]:
        """What was really recorded during the chunk's control steps."""
        return self.encode(clip.more_future[self.config.key])

    def valid(self, clip: Clip) -> Bool[Tensor, "B H"]:
        """Control steps before the episode's end."""
        return clip.more_future[f"{self.config.key}.valid"]

    def observed(self, rows: Float[Tensor, "B P *row"]) -> Float[Tensor, "B P D"]:
        """Embed what was observed until now. Raises ValueError where its shape is not the model's."""
        expected = (self.config.steps, *self.config.row)
        if rows.shape[1:] != expected:
            found = tuple(rows.shape[1:])
            raise ValueError(f"{self.config.key} has shape {found} per observation, expected {expected}")
        return self.embed(self.encode(rows).to(self.past.dtype)) + self.past

    def before(self, device: torch.device) -> Float[Tensor, "P 3"]:
        """Positions of the observed tokens: the last step ended with the observation itself, at 0 seconds."""
        return instants((torch.arange(self.config.steps, device=device) + 1 - self.config.steps) / self.control_hz)
