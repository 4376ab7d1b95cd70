"""What goes into a world model and what comes out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from worldmodel.backbone import BackboneConfig, KVCache
from worldmodel.config import check_sizes, known
from worldmodel.schema import CONTROL_HZ, STATE, Recorded, is_name
from worldmodel.tokens.listed import complete, config_of

SAMPLERS = ("flow", "regression", "mip")


@dataclass(frozen=True)
class ModelConfig:
    """What a model is given and predicts. ``backbone`` holds the only numbers in which sizes differ.

    states: keys of the state vectors, concatenated; ``relative`` counts the dimensions of the first that actions are
    relative to. Without cameras a model is a control: it gets the simulator's own state.
    sampler: how actions are drawn: ``flow``, or the passes of a ``regression`` or of ``mip``.
    prefix: how many committed actions it has learned to continue (0: none).
    modalities: further ones, with their options (see `worldmodel.tokens.listed`).
    words: vocabulary of a model whose instruction is a sentence (``more["instruction"]``, by default the task's usual
    one, see `Language`); empty where it is the task's number.
    window: time steps that an imagined rollout conditions on, the present one included (0: no rollouts).
    memory: how many steps ago those lie that it remembers beside the present one, ascending from 1 (empty: no memory).
    shift: of the noise levels in which rollouts are sampled (`flow.sampler.grid`).
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
        """Raises ValueError for what no model can have: a config may be a file's, and its sizes are allocated."""
        check_sizes(
            self, size=(1, 4096), patch=(1, 256), chunk_size=(1, 4096), action_dim=(1, 4096), state_dim=(1, 2**16)
        )
        check_sizes(self, relative=(0, 4096), prefix=(0, 4096), window=(0, 4096))
        for name in ("control_hz", "shift"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 < value <= 1e5:
                raise ValueError(f"{name}={str(value)[:40]}: expected a number above 0")
        for name in ("cameras", "tasks", "states", "words"):
            texts = getattr(self, name)
            most = 2**16 if name == "words" else 256
            if (
                type(texts) is not tuple
                or len(texts) > most
                or not all(type(t) is str and 0 < len(t) < 1000 for t in texts)
            ):
                raise ValueError(f"{name}={str(texts)[:40]}: expected at most {most} names")
            if len(set(texts)) < len(texts):
                raise ValueError(f"{name}={str(texts)[:80]}: a name is there twice")
        if wrong := [camera for camera in self.cameras if not is_name(camera)]:
            raise ValueError(f"cameras: {wrong[0][:80]!r} is no name of a camera")
        if not self.tasks or not self.states or (self.cameras and self.size % self.patch):
            raise ValueError(f"size={self.size}, patch={self.patch}: expected a multiple, tasks and a state")
        if type(self.memory) is not tuple or not all(type(ago) is int and 0 <= ago < 2**16 for ago in self.memory):
            raise ValueError(f"memory={str(self.memory)[:40]}: expected whole numbers from 0")
        known("sampler", self.sampler, SAMPLERS)
        object.__setattr__(self, "modalities", complete(self.modalities))

    @property
    def recorded(self) -> tuple[Recorded, ...]:
        """What further modalities need of recordings and observations."""
        return tuple(config_of(name, values).recorded(self.chunk_size) for name, values in self.modalities.items())


@dataclass(frozen=True)
class Given:
    """What is known: one observation per row and, where the mode has them, the action chunk or future frames.

    actions: physical units. frames: observed ``at`` control steps after the observation. more: observed arrays of
    further modalities, by key; what followed, where it is known, under ``<key>.future``. prefix: actions already
    committed, of which the first ``committed`` count (all where absent).
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

    def count(self, most: int) -> Int[Tensor, " B"]:
        """How many committed actions count. Raises ValueError where the model has not learned to continue so many."""
        assert self.prefix is not None
        length = self.prefix.shape[1]
        count = self.committed
        if count is None:
            count = torch.full((len(self.prefix),), length, device=self.prefix.device)
        if length > most or (not torch.compiler.is_exporting() and int(count.max()) > length):
            known = f"this model continues up to {most} (train with noise.actions.prefix)"
            raise ValueError(f"{int(count.max())} of {length} actions are committed; {known}")
        return count


@dataclass(frozen=True)
class Want:
    """What to predict: the action chunk, frames ``at`` these control steps after the observation, and more.

    Modalities with the frames' role, such as sound, are wanted whenever frames are; ``more`` names others.
    """

    actions: bool = False
    at: Int[Tensor, "B F"] | None = None
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """Actions float32 (B, chunk_size, A) in physical units, frames uint8 (B, F, C, H, W, 3); None where not wanted.

    more: further modalities' values in model units, (B, N, d), by name.
    """

    actions: Tensor | None = None
    frames: Tensor | None = None
    more: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class ObservationCache:
    """An encoded observation: what later tokens need of it.

    kv: keys and values of every block. last: the observed frames' patches, clean, in model units.
    after: its tokens before the first and after every block but the last. frames: which of them are frames'.
    """

    kv: KVCache
    last: Float[Tensor, "B M P"]
    after: list[Tensor]
    frames: slice

    def repeat(self, times: int) -> "ObservationCache":
        """Every row ``times`` over, one after another, for several predictions from each observation."""
        if times == 1:
            return self
        kv = [(k.repeat_interleave(times, 0), v.repeat_interleave(times, 0)) for k, v in self.kv]
        return ObservationCache(kv, self.last.repeat_interleave(times, 0), self.after, self.frames)


@dataclass(frozen=True)
class RolloutHistory:
    """T past steps of each of B rollouts.

    frames: patches in model units. state, actions: physical units; action t is executed from step t on. when: seconds
    on one clock. levels: noise levels that the model is conditioned on, in [0, 1].
    """

    frames: Float[Tensor, "B T M P"]
    state: Float[Tensor, "B T S"]
    actions: Float[Tensor, "B T A"]
    when: Float[Tensor, " T"]
    levels: Float[Tensor, "B T"]

    def part(self, first: int, end: int) -> "RolloutHistory":
        """Its steps ``first`` to ``end`` - 1."""
        frames, state, actions = (each[:, first:end] for each in (self.frames, self.state, self.actions))
        return RolloutHistory(frames, state, actions, self.when[first:end], self.levels[:, first:end])
