"""One set of weights for every mode."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from worldmodel.backbone import Backbone
from worldmodel.flow import NoiseSample, mix
from worldmodel.flow.noise import clean_draw, committed_draw
from worldmodel.flow.sampler import even_levels, regression_grid, sample
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
    need in training; they are not saved in a checkpoint.
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
        if config.window or config.memory:
            from worldmodel.tokens.next_step import NextState  # here, as below: few models have it

            self.body = NextState(config.state_dim, width)
        if config.memory:
            from worldmodel.tokens.next_step import MaskedWarps

            self.warps = MaskedWarps(width, config.patch)
        # Last, so that models with and without them start from the same weights
        self.projector = _mlp(width, 2 * width, width) if projector else None
        self.external = _mlp(width, 4 * width, 4 * width, external) if external else None  # as in REPA (2410.06940)

    @property
    def modalities(self) -> dict[str, Modality]:
        """What can be wanted, in the order of its tokens in a sequence."""
        return {"actions": self.actions, "frames": self.frames, **self.further}

    @property
    def further(self) -> dict[str, "Signal"]:
        """Modalities beside frames and actions."""
        return {name: self.get_submodule(name) for name in self.config.modalities}  # type: ignore[misc]  # as built

    def fit(self, clip: Clip) -> None:
        """Set all ranges from a sample of recordings (`worldmodel.data.clips.Clips.sample`), tensors on the device."""
        for part in (self.proprioception, *self.modalities.values(), self.body):
            if part is not None:
                part.fit(clip)
        if self.config.words:
            self.instruction.fit(self.config.tasks)

    def compute_in(self, dtype: torch.dtype) -> "WorldModel":
        """Hold the weights in ``dtype`` for inference; scaling ranges and rotary rates stay float32."""
        for parameter in self.parameters():
            parameter.data = parameter.data.to(dtype)
        return self

    def observe(
        self, given: Given | Clip, noise: NoiseSample | None = None, later: Float[Tensor, "B N P"] | None = None
    ) -> ObservationCache:
        """Encode an observation once. ``noise`` (training only) is put on its frames.

        ``later``: patches of the frames ``given.at``, which are given with it (inverse dynamics).
        """
        last = self.frames.patches(self.frames.observed(given)[:, None])
        parts = []  # tokens, positions and noise
        if self.config.cameras:
            values = last if noise is None else mix(last, noise.eps, noise.noise())
            positions = self.frames.positions(torch.zeros(1, device=last.device))
            parts.append((self.frames.tokens(values), positions, noise or clean_draw(last)))
        clean = self._context(given, last.device)
        if later is not None:
            positions = self.frames.when(given.at, self.config.control_hz, last.device)
            clean.append((self.frames.tokens(later), positions))
        parts += [(tokens, positions, clean_draw(tokens)) for tokens, positions in clean]
        sequence = concat([TokenSequence(t, where, draw.levels, draw.level_index) for t, where, draw in parts])
        if noise is None:  # one level for all: its modulation is computed once
            level_index = torch.zeros_like(sequence.level_index)
            sequence = replace(sequence, levels=sequence.levels[:, :1], level_index=level_index)
        kv, after = self.backbone.observe(sequence)
        return ObservationCache(kv, last, after, slice(0, last.shape[1]))

    def _context(self, given: Given | Clip, device: torch.device) -> list[tuple[Tensor, Tensor]]:
        """Tokens and positions of what is always given and never noisy beside the frames."""
        task, state, instruction = given.task, self.proprioception, self.instruction
        if self.config.words:
            task = given.more.get(SENTENCE, instruction.usual[given.task])
        context = [(state.tokens(given.state), state.positions(device))]
        context.append((instruction.tokens(task), instruction.positions(device)))
        for signal in self.further.values():
            if signal.config.steps:
                if (key := signal.config.key) not in given.more:
                    found = f"there is {list(given.more)}"
                    raise ValueError(f"this model needs more[{key!r}] beside images, state and task; {found}")
                context.append((signal.observed(given.more[key]), signal.before(device)))
        return context

    def sequence(
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
        present = {name: modality for name, modality in self.modalities.items() if name in values}
        parts = features.split([values[name].shape[1] for name in present], dim=1)
        return {name: present[name].read(part, last) for name, part in zip(present, parts, strict=True)}

    @torch.no_grad()
    def predict(
        self,
        given: Given,
        want: Want,
        steps: int = 2,
        start: dict[str, Tensor] | None = None,
        generator: torch.Generator | None = None,
    ) -> Prediction:
        """Predict what is wanted from what is given: every mode is this one operation.

        ``want.at`` may have several rows per observation, one after another, each predicted on its own; actions cannot
        be wanted beside them. steps: sampling steps (a regression has its own number where actions are wanted).
        start: initial noise (model units), drawn from ``generator`` where absent.
        Raises ValueError if nothing is wanted or something is both given and wanted.
        """
        fixed, at = self._fixed(given, want)
        frames = given.frames
        observed = self.observe(
            given, later=None if frames is None else self.frames.patches(self.frames.encode(frames))
        )
        if want.at is not None and (rows := len(want.at) // len(given.state)) > 1:
            observed = observed.repeat(rows)
            fixed = {name: value.repeat_interleave(rows, 0) for name, value in fixed.items()}
        batch, device = len(observed.last), given.state.device
        wanted = {"actions": want.actions, "frames": want.at is not None}
        names = [n for n, m in self.modalities.items() if (wanted[m.role] and n not in fixed) or n in want.more]
        shapes = {n: self.modalities[n].shape(batch, 0 if want.at is None else want.at.shape[1]) for n in names}
        if start is None:
            start = {n: torch.randn(s, generator=generator).to(device) for n, s in shapes.items()}
        levels = even_levels(steps)
        if want.actions and self.config.sampler != "flow":
            start = start | {"actions": torch.zeros(shapes["actions"], device=device)}
            levels = regression_grid(self.config.sampler)
        committed = self._committed(given) if want.actions and given.prefix is not None else None

        def commit(values: dict[str, Tensor]) -> dict[str, Tensor]:
            if committed is None:
                return values
            return values | {"actions": torch.where(committed[1], committed[0], values["actions"])}

        def denoise(values: dict[str, Tensor], now: float) -> dict[str, Tensor]:
            both = fixed | commit(values)
            noise = {n: clean_draw(v, now if n in values else 0.0) for n, v in both.items()}
            if committed is not None:
                noise["actions"] = committed_draw(committed[1], now)
            features, _ = self.backbone(self.sequence(both, noise, at), observed.kv)
            predicted = commit(self.read(features, both, observed.last))
            return {n: predicted[n] for n in values}

        out = sample(denoise, start, levels)
        actions = self.actions.decode(out.pop("actions"), given.state) if want.actions else None
        frames = None
        if want.at is not None:
            frames = self.frames.decode(self.frames.assemble(out.pop("frames"), want.at.shape[1]))
        return Prediction(actions, frames, out)

    def _fixed(self, given: Given, want: Want) -> tuple[dict[str, Tensor], Tensor | None]:
        """Given tokens beside the observation in model units, and the times of the frames involved."""
        if not want.actions and want.at is None:
            raise ValueError("nothing is wanted: want actions, frames at some steps, or both")
        if want.actions and given.actions is not None:
            raise ValueError("actions are both given and wanted; leave one out")
        if want.at is not None and given.frames is not None:
            raise ValueError("frames are both given and wanted; leave one out")
        rows, observations = 0 if want.at is None else len(want.at), len(given.state)
        if want.at is not None and (rows % observations or (want.actions and rows != observations)):
            raise ValueError(f"at has {rows} rows for {observations} observations; actions want one each")
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
        prefix, count = given.prefix, given.count(self.config.prefix)
        assert prefix is not None
        chunk = F.pad(prefix, (0, 0, 0, self.config.chunk_size - prefix.shape[1]))
        steps = torch.arange(self.config.chunk_size, device=prefix.device)
        return self.actions.encode(chunk, given.state), (steps < count[:, None])[..., None]

    def act(
        self, given: Given, steps: int = 2, start: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Float[Tensor, "B T A"]:
        """The next action chunk, physical units; the fast path, without future frames in the sequence."""
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

    def frames_ahead(
        self, given: Given, at: Sequence[int] | Tensor, steps: int = 2, generator: torch.Generator | None = None
    ) -> UInt8[Tensor, "B K C H W 3"]:
        """As `imagine`, for any number of frames: predicted in pairs, as in training, an odd last one twice.

        ``at``: K control steps for all rows, or a row (B, K) of them each.
        """
        wanted = torch.as_tensor(at, device=given.state.device).expand(len(given.state), -1)
        count = wanted.shape[1]
        if count % 2:
            wanted = torch.cat([wanted, wanted[:, -1:]], dim=1)
        frames = self.imagine(given, wanted.reshape(-1, 2), steps, generator=generator)
        return frames.reshape(*wanted.shape, *frames.shape[2:])[:, :count]


def _mlp(*widths: int) -> nn.Sequential:
    """Linear layers with SiLU between them."""
    layers = [layer for sizes in pairwise(widths) for layer in (nn.Linear(*sizes), nn.SiLU())]
    return nn.Sequential(*layers[:-1])


def _instruction(config: ModelConfig) -> Any:
    """The task as the words of a sentence, or as its number."""
    if not config.words:
        return Instruction(config.tasks, config.backbone.width)
    from worldmodel.tokens.language import Language

    return Language(config.words, len(config.tasks), config.backbone.width)
