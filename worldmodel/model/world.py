"""One set of weights for every mode."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from worldmodel.backbone import Backbone
from worldmodel.flow import NoiseSample, mix
from worldmodel.flow.noise import clean_draw, committed_draw
from worldmodel.flow.sampler import grid, regression_grid, sample
from worldmodel.model.records import Given, ModelConfig, ObservationCache, Prediction, Want
from worldmodel.schema import Clip
from worldmodel.tokens import Actions, Frames, Instruction, Proprioception, TokenSequence, listed
from worldmodel.tokens.modality import Modality
from worldmodel.tokens.sequence import concat
from worldmodel.tokens.task import SENTENCE

if TYPE_CHECKING:
    from worldmodel.tokens.signal import Signal


class WorldModel(nn.Module):
    """One set of weights for policy, joint imagination, forward and inverse dynamics and video prediction.

    ``projector`` and ``external`` (channels of a frozen encoder, 0 for none) add the heads that representation losses
    need in training; they are not saved with a checkpoint.
    """

    def __init__(self, config: ModelConfig, projector: bool = False, external: int = 0) -> None:
        super().__init__()
        self.config = config
        width = config.backbone.width
        self.frames = Frames(config.cameras, config.size, config.patch, width)
        self.actions = Actions(config.chunk_size, config.action_dim, config.relative, width, config.control_hz)
        self.proprioception = Proprioception(config.state_dim, width)
        self.instruction = _instruction(config)
        self.backbone = Backbone(config.backbone)
        for name, options in config.modalities.items():
            self.add_module(name, listed.config_of(name, options).build(config.chunk_size, width, config.control_hz))
        self.body: NextState | None = None
        self.warps: MaskedWarps | None = None
        self.ahead: nn.Parameter | None = None
        if config.window or config.memory:
            from worldmodel.tokens.next_state import NextState  # here, as below: few models have it

            self.body = NextState(config.state_dim, width)
        if config.memory:
            from worldmodel.tokens.masked_warps import MaskedWarps

            self.warps = MaskedWarps(width, config.patch)
            self.ahead = nn.Parameter(torch.randn(width) * 0.02)
        # Last, so that models with and without them start from the same weights
        self.projector = (
            nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)) if projector else None
        )
        self.external: nn.Module | None = None
        if external:  # three layers, as in REPA (arXiv 2410.06940)
            wide = 4 * width
            layers = (nn.Linear(width, wide), nn.SiLU(), nn.Linear(wide, wide), nn.SiLU(), nn.Linear(wide, external))
            self.external = nn.Sequential(*layers)

    @property
    def modalities(self) -> dict[str, Modality]:
        """What can be wanted, in the order of its tokens in a stream."""
        return {"actions": self.actions, "frames": self.frames, **self.further}

    @property
    def further(self) -> dict[str, Signal]:
        """Modalities beside frames and actions."""
        return {name: self.get_submodule(name) for name in self.config.modalities}  # type: ignore[misc]  # as built

    def fit(self, clip: Clip) -> None:
        """Set all ranges from a sample of recordings (`worldmodel.data.clips.Clips.sample`), tensors on the device."""
        self.proprioception.fit(clip)
        for modality in self.modalities.values():
            modality.fit(clip)
        if self.body is not None:
            self.body.fit(clip)
        if self.config.words:
            self.instruction.fit(self.config.tasks)

    def compute_in(self, dtype: torch.dtype) -> WorldModel:
        """Hold the weights in ``dtype`` for inference; scaling ranges and rotary rates stay float32."""
        for parameter in self.parameters():
            parameter.data = parameter.data.to(dtype)
        return self

    def observe(
        self, given: Given | Clip, noise: NoiseSample | None = None, later: Float[Tensor, "B N P"] | None = None
    ) -> ObservationCache:
        """Read an observation once. ``noise`` (training only) is put on its frames.

        ``later``: patches of the frames ``given.at``, which are read with it where they are given (inverse dynamics).
        """
        last = self.frames.patches(self.frames.seen(given)[:, None])
        device = last.device
        draw = clean_draw(last) if noise is None else noise
        sequences = []
        if self.config.cameras:
            values = last if noise is None else mix(last, noise.eps, noise.noise())
            positions = self.frames.positions(torch.zeros(1, device=device))
            sequences.append(TokenSequence(self.frames.tokens(values), positions, draw.levels, draw.level_index))
        for tokens, positions in self._told(given, device):
            clean = clean_draw(tokens)
            sequences.append(TokenSequence(tokens, positions, clean.levels, clean.level_index))
        if later is not None:
            clean, positions = clean_draw(later), self.frames.when(given.at, self.config.control_hz, device)
            sequences.append(TokenSequence(self.frames.tokens(later), positions, clean.levels, clean.level_index))
        sequence = concat(sequences)
        if noise is None:  # one level for all: its modulation is computed once
            sequence = replace(
                sequence, levels=sequence.levels[:, :1], level_index=torch.zeros_like(sequence.level_index)
            )
        memory, after = self.backbone.observe(sequence)
        return ObservationCache(memory, last, after, slice(0, last.shape[1]))

    def _told(self, given: Given | Clip, device: torch.device) -> list[tuple[Tensor, Tensor]]:
        """What is always given and never noisy beside the frames: tokens and their places."""
        body, instruction = self.proprioception, self.instruction
        asked = given.task
        if self.config.words:
            asked = given.more.get(SENTENCE, instruction.usual[given.task])
        told = [
            (body.tokens(given.state), body.positions(device)),
            (instruction.tokens(asked), instruction.positions(device)),
        ]
        further = [signal for signal in self.further.values() if signal.config.steps]
        return told + [(s.observed(_of(given, s.config.key)), s.before(device)) for s in further]

    def stream(
        self, values: dict[str, Tensor], noise: dict[str, NoiseSample], at: Int[Tensor, "B F"] | None
    ) -> TokenSequence:
        """The tokens beside the observation, (noisy) modality after modality."""
        sequences = []
        for name, modality in self.modalities.items():
            if name in values:
                draw, positions = noise[name], modality.when(at, self.config.control_hz, values[name].device)
                sequences.append(TokenSequence(modality.tokens(values[name]), positions, draw.levels, draw.level_index))
        return concat(sequences)

    def read(self, features: Tensor, values: dict[str, Tensor], last: Tensor) -> dict[str, Tensor]:
        """The clean values that features predict, for every modality present, in model units."""
        out, first = {}, 0
        for name, modality in self.modalities.items():
            if name in values:
                count = values[name].shape[1]
                out[name] = modality.read(features[:, first : first + count], last)
                first += count
        return out

    @torch.no_grad()
    def predict(
        self,
        given: Given,
        want: Want,
        steps: int = 2,
        start: dict[str, Tensor] | None = None,
        generator: torch.Generator | None = None,
    ) -> Prediction:
        """Fill in what is wanted from what is given: every mode is this one operation.

        ``want.at`` may have several rows per observation, one after another, each answered on its own; actions can then
        not be wanted beside them. steps: sampling steps (a regression has its own number where actions are wanted).
        start: noise to begin from (model units), drawn from ``generator`` where absent.
        Raises ValueError if nothing is wanted or something is both given and wanted.
        """
        fixed, at = self._fixed(given, want)
        frames = given.frames
        seen = self.observe(given, later=None if frames is None else self.frames.patches(self.frames.encode(frames)))
        if want.at is not None and (rows := len(want.at) // len(given.state)) > 1:
            # Several questions about one observation: it is read once, and its memory shared.
            seen = seen.repeat(rows)
            fixed = {name: value.repeat_interleave(rows, 0) for name, value in fixed.items()}
        batch, device = len(seen.last), given.state.device
        asked = {"actions": want.actions, "frames": want.at is not None}
        names = [n for n, m in self.modalities.items() if (asked[m.role] and n not in fixed) or n in want.more]
        shapes = {n: self.modalities[n].shape(batch, 0 if want.at is None else want.at.shape[1]) for n in names}
        if start is None:
            start = {n: torch.randn(s, generator=generator).to(device) for n, s in shapes.items()}
        levels = grid(steps)
        if want.actions and self.config.sampler != "flow":
            start = start | {"actions": torch.zeros(shapes["actions"], device=device)}
            levels = regression_grid(self.config.sampler)

        known = self._committed(given) if want.actions and given.prefix is not None else None

        def denoise(values: dict[str, Tensor], now: Tensor) -> dict[str, Tensor]:
            if known is not None:
                values = values | {"actions": torch.where(known[1], known[0], values["actions"])}
            both = fixed | values
            noise = {n: clean_draw(v, float(now) if n in values else 0.0) for n, v in both.items()}
            if known is not None:
                noise["actions"] = committed_draw(known[1], float(now))
            features, _ = self.backbone(self.stream(both, noise, at), seen.memory)
            predicted = self.read(features, both, seen.last)
            if known is not None:
                predicted["actions"] = torch.where(known[1], known[0], predicted["actions"])
            return {n: predicted[n] for n in values}

        out = sample(denoise, start, levels)
        actions = self.actions.decode(out["actions"], given.state) if want.actions else None
        frames = None
        if want.at is not None:
            frames = self.frames.decode(self.frames.assemble(out["frames"], want.at.shape[1]))
        return Prediction(actions, frames, {n: v for n, v in out.items() if n not in ("actions", "frames")})

    def _fixed(self, given: Given, want: Want) -> tuple[dict[str, Tensor], Tensor | None]:
        """Given tokens beside the observation in model units, and the times of the frames involved."""
        if not want.actions and want.at is None:
            raise ValueError("nothing is wanted: ask for actions, for frames at some steps, or for both")
        if want.actions and given.actions is not None:
            raise ValueError("actions are both given and wanted; leave one out")
        if want.at is not None and (
            len(want.at) % len(given.state) or (want.actions and len(want.at) != len(given.state))
        ):
            raise ValueError(f"at has {len(want.at)} rows for {len(given.state)} observations; actions want one each")
        if want.at is not None and given.frames is not None:
            raise ValueError("frames are both given and wanted; leave one out")
        fixed = {}
        if given.actions is not None:
            fixed["actions"] = self.actions.encode(given.actions, given.state)
        known = {"actions": given.actions is not None, "frames": given.frames is not None}
        for name, signal in self.further.items():
            if known[signal.role] and f"{signal.config.key}.future" in given.more:
                fixed[name] = signal.encode(given.more[f"{signal.config.key}.future"])
        return fixed, want.at if given.at is None else given.at

    def _committed(self, given: Given) -> tuple[Float[Tensor, "B H A"], Bool[Tensor, "B H 1"]]:
        """Committed actions in model units, padded to the chunk's length, and which steps they are."""
        prefix, count = given.prefix, given.committed
        assert prefix is not None
        if count is None:
            count = torch.full((len(prefix),), prefix.shape[1], device=prefix.device)
        if prefix.shape[1] > self.config.prefix or int(count.max()) > prefix.shape[1]:
            most = f"this model continues up to {self.config.prefix} (train with noise.actions.prefix)"
            raise ValueError(f"{int(count.max())} of {prefix.shape[1]} actions are committed; {most}")
        chunk = F.pad(prefix, (0, 0, 0, self.config.chunk_size - prefix.shape[1]))
        steps = torch.arange(self.config.chunk_size, device=prefix.device)
        return self.actions.encode(chunk, given.state), (steps < count[:, None])[..., None]

    def act(
        self, given: Given, steps: int = 2, start: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Float[Tensor, "B T A"]:
        """The next action chunk, physical units: the fast path, without future frames in the sequence."""
        noise = None if start is None else {"actions": start}
        actions = self.predict(given, Want(actions=True), steps, noise, generator).actions
        assert actions is not None
        return actions

    def imagine(
        self, given: Given, at: Int[Tensor, "B F"], steps: int = 2, generator: torch.Generator | None = None
    ) -> UInt8[Tensor, "B F C H W 3"]:
        """Frames ``at`` these control steps (from 1) after the observation, under ``given.actions`` where given."""
        frames = self.predict(given, Want(at=at), steps, generator=generator).frames
        assert frames is not None
        return frames


def _of(given: Given | Clip, key: str) -> Tensor:
    """An observed array of a further modality. Raises ValueError where it is missing."""
    if key not in given.more:
        raise ValueError(f"this model needs more[{key!r}] beside images, state and task; there is {list(given.more)}")
    value: Tensor = given.more[key]
    return value


def _instruction(config: ModelConfig) -> Any:
    """What says what is to be done: the words of a sentence, or the number of a task."""
    if not config.words:
        return Instruction(config.tasks, config.backbone.width)
    from worldmodel.tokens.language import Language

    return Language(config.words, len(config.tasks), config.backbone.width)
