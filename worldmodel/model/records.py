"""What goes into a world model and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float, Int, UInt8
from torch import Tensor

from worldmodel.backbone import BackboneConfig, KVCache
from worldmodel.schema import CONTROL_HZ, STATE, Recorded
from worldmodel.tokens.listed import complete, config_of


@dataclass(frozen=True)
class ModelConfig:
    """What a model sees and does. ``backbone`` holds the only numbers in which sizes differ.

    states: keys of the state vectors, read one after another; ``relative`` counts the dimensions of the first that
    actions are relative to. A model without cameras is a control: it reads the simulator's own state.
    sampler: how actions are drawn: ``flow``, or the passes of a ``regression`` or of ``mip``.
    prefix: how many committed actions it has learned to continue (0: none).
    modalities: further ones beside frames and actions, with their options (see `worldmodel.tokens.listed`).
    words: vocabulary of a model that reads its instruction as a sentence (``more["instruction"]``, the task's usual one
    where absent, see `Language`); empty for one that is given the task's number.
    window: moments that a model which streams looks back on, the present one included (0: it does not stream).
    memory: how many steps ago the time steps lie that an imagined rollout remembers, ascending from 0 (empty: the last
    ``window`` ones).
    shift: of the noise levels in which streams are sampled (`flow.sampler.grid`).
    """

    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    cameras: tuple[str, ...] = ("scene", "wrist")
    size: int = 96
    patch: int = 16
    chunk_size: int = 16
    action_dim: int = 4
    relative: int = 3
    states: tuple[str, ...] = (STATE,)
    state_dim: int = 4
    control_hz: float = float(CONTROL_HZ)
    tasks: tuple[str, ...] = ("place_can", "lift_can")
    sampler: str = "flow"
    prefix: int = 0
    modalities: dict[str, Any] = field(default_factory=dict, hash=False)
    words: tuple[str, ...] = ()
    window: int = 0
    memory: tuple[int, ...] = ()
    shift: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "modalities", complete(self.modalities))

    @property
    def recorded(self) -> tuple[Recorded, ...]:
        """What further modalities need of recordings and observations."""
        return tuple(config_of(name, values).recorded(self.chunk_size) for name, values in self.modalities.items())


@dataclass(frozen=True)
class Given:
    """What is known: one observation per row and, where the mode has them, the action chunk or future frames.

    images uint8 (B, C, H, W, 3); state float32 (B, S); task int64 (B,); actions float32 (B, chunk_size, A) in physical
    units; frames uint8 (B, F, C, H, W, 3) seen ``at`` control steps after the observation, int64 (B, F).
    more: observed arrays of further modalities, by key; what followed, where it is known, under ``<key>.future``.
    """

    images: UInt8[Tensor, "B C H W 3"]
    state: Float[Tensor, "B S"]
    task: Int[Tensor, " B"]
    actions: Float[Tensor, "B T A"] | None = None
    frames: UInt8[Tensor, "B F C H W 3"] | None = None
    at: Int[Tensor, "B F"] | None = None
    more: Mapping[str, Tensor] = field(default_factory=dict)
    prefix: Float[Tensor, "B D A"] | None = None
    committed: Int[Tensor, " B"] | None = None


@dataclass(frozen=True)
class Want:
    """What is asked for: the action chunk, frames ``at`` these steps after the observation (int64 (B, F)), and more.

    Modalities that go with the frames, such as sound, are wanted whenever frames are; ``more`` names others.
    """

    actions: bool = False
    at: Int[Tensor, "B F"] | None = None
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """What came out: actions float32 (B, chunk_size, A) in physical units, frames uint8 (B, F, C, H, W, 3), or None.

    more: further modalities' values in model units, (B, N, d), by name.
    """

    actions: Tensor | None = None
    frames: Tensor | None = None
    more: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class ObservationCache:
    """An observation that has been read: what later tokens need of it.

    memory: keys and values of every block. last: the observed frames' patches, clean, in model units.
    after: its tokens before the first and after every block but the last. frames: which of them are frames'.
    """

    memory: KVCache
    last: Float[Tensor, "B M P"]
    after: list[Tensor]
    frames: slice

    def repeat(self, times: int) -> ObservationCache:
        """Every observation ``times`` over, one after another, for several questions about each."""
        if times == 1:
            return self
        memory = [(k.repeat_interleave(times, 0), v.repeat_interleave(times, 0)) for k, v in self.memory]
        return ObservationCache(memory, self.last.repeat_interleave(times, 0), self.after, self.frames)
