"""The world model: modalities, a backbone and a flow. Knows neither files nor simulators."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from worldmodel.backbone import Backbone, BackboneConfig, Memory
from worldmodel.experience import CONTROL_HZ, STATE, Clip
from worldmodel.flow import MODES, NoiseDraw, ObjectiveConfig, alignment, flow_loss, mix, sample
from worldmodel.flow.objective import mean_direction
from worldmodel.tokens import Actions, Frames, Instruction, Proprioception, TokenStream
from worldmodel.tokens.stream import join


@dataclass(frozen=True)
class ModelConfig:
    """What a model sees and does. ``backbone`` holds the only numbers in which sizes differ.

    states: keys of the state vectors, read one after another; ``relative`` counts the dimensions of the first that
    actions are relative to. A model without cameras is a control: it reads the simulator's own state.
    """

    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    cameras: tuple[str, ...] = ("scene", "wrist")
    size: int = 96
    patch: int = 16
    horizon: int = 16
    action_dim: int = 4
    relative: int = 3
    states: tuple[str, ...] = (STATE,)
    state_dim: int = 4
    rate: float = float(CONTROL_HZ)
    tasks: tuple[str, ...] = ("place_can", "lift_can")


@dataclass(frozen=True)
class Given:
    """What is known: one observation per row and, where the mode has them, the action chunk or future frames.

    images uint8 (B, C, H, W, 3); state float32 (B, S); task int64 (B,); actions float32 (B, horizon, A) in physical
    units; frames uint8 (B, F, C, H, W, 3) seen ``at`` control steps after the observation, int64 (B, F).
    """

    images: UInt8[Tensor, "B C H W 3"]
    state: Float[Tensor, "B S"]
    task: Int[Tensor, " B"]
    actions: Float[Tensor, "B T A"] | None = None
    frames: UInt8[Tensor, "B F C H W 3"] | None = None
    at: Int[Tensor, "B F"] | None = None


@dataclass(frozen=True)
class Want:
    """What is asked for: the action chunk, and frames ``at`` these steps after the observation, int64 (B, F)."""

    actions: bool = False
    at: Int[Tensor, "B F"] | None = None


@dataclass(frozen=True)
class Prediction:
    """What came out: actions float32 (B, horizon, A) in physical units, frames uint8 (B, F, C, H, W, 3), or None."""

    actions: Tensor | None = None
    frames: Tensor | None = None


class WorldModel(nn.Module):
    """One set of weights for policy, joint imagination, forward and inverse dynamics and video prediction."""

    def __init__(self, config: ModelConfig, projector: bool = False) -> None:
        super().__init__()
        self.config = config
        width = config.backbone.width
        self.frames = Frames(config.cameras, config.size, config.patch, width)
        self.actions = Actions(config.horizon, config.action_dim, config.relative, width, config.rate)
        self.proprioception = Proprioception(config.state_dim, width)
        self.instruction = Instruction(config.tasks, width)
        self.backbone = Backbone(config.backbone)
        self.projector = (
            nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)) if projector else None
        )

    @property
    def taps(self) -> tuple[int, int]:
        """Blocks read by student and teacher: 0.3 and 0.7 of the depth (Self-Flow A.3), counted from 1."""
        depth = self.config.backbone.depth
        student = max(1, round(0.3 * depth))
        return student, min(depth, max(student + 1, round(0.7 * depth)))

    def compute_in(self, dtype: torch.dtype) -> WorldModel:
        """Hold the weights in ``dtype`` for inference; scaling ranges and rotary rates stay float32."""
        for parameter in self.parameters():
            parameter.data = parameter.data.to(dtype)
        return self

    def observe(
        self, images: UInt8[Tensor, "B C H W 3"] | Float[Tensor, "B C H W 3"], state: Tensor, task: Tensor
    ) -> tuple[Memory, Float[Tensor, "B N P"]]:
        """Read an observation once: its keys and values, and its patches in model units."""
        values = images if images.is_floating_point() else self.frames.encode(images)
        last = self.frames.patches(values[:, None])
        device = last.device
        parts = [self.proprioception.tokens(state), self.instruction.tokens(task)]
        places = [self.proprioception.places(device), self.instruction.places(device)]
        if self.config.cameras:
            parts.insert(0, self.frames.tokens(last))
            places.insert(0, self.frames.places(torch.zeros(1, device=device)))
        tokens = torch.cat(parts, dim=1)
        stream = TokenStream(
            tokens,
            torch.cat(places, dim=0),
            torch.zeros(1, 1, device=device),
            torch.zeros(1, tokens.shape[1], dtype=torch.int64, device=device),
        )
        return self.backbone.observe(stream), last

    def stream(
        self, values: dict[str, Tensor], noise: dict[str, NoiseDraw], at: Int[Tensor, "B F"] | None
    ) -> TokenStream:
        """The tokens beside the observation: (noisy) actions first, then (noisy) future frames."""
        streams = []
        if "actions" in values:
            draw = noise["actions"]
            places = self.actions.places(draw.levels.device)
            streams.append(TokenStream(self.actions.tokens(values["actions"]), places, draw.levels, draw.which))
        if "frames" in values:
            assert at is not None
            draw = noise["frames"]
            places = self.frames.places(at.float() / self.config.rate)
            streams.append(TokenStream(self.frames.tokens(values["frames"]), places, draw.levels, draw.which))
        return join(streams)

    def read(self, features: Tensor, values: dict[str, Tensor], last: Tensor) -> dict[str, Tensor]:
        """The clean values that features predict, for every modality present, in model units."""
        split = self.config.horizon if "actions" in values else 0
        out = {}
        if "actions" in values:
            out["actions"] = self.actions.read(features[:, :split])
        if "frames" in values:
            out["frames"] = self.frames.read(features[:, split:], last)
        return out

    def loss(
        self,
        clip: Clip,
        mode: str,
        noise: dict[str, NoiseDraw],
        objective: ObjectiveConfig,
        teacher: WorldModel | None = None,
    ) -> dict[str, Tensor]:
        """Losses of one batch in one mode; entry ``loss`` is what training minimises.

        ``noise`` holds a draw for every modality that the mode does not leave out; with ``objective.draws`` noise
        samples per observation in policy mode the draw's batch is that many times the clip's. ``clip.images`` and
        ``clip.future`` are bytes or, after augmentation, floats in model units. Needs ``teacher`` for ``self_flow``.
        """
        roles = MODES[mode]
        memory, last = self.observe(clip.images, clip.state, clip.task)
        clean, valid, wanted = {}, {}, {}
        if roles.actions != "absent":
            chunk = clip.action if roles.frames == "absent" or roles.actions == "wanted" else clip.executed
            repeats = len(noise["actions"].eps) // len(chunk)
            clean["actions"] = self.actions.encode(chunk, clip.state).repeat_interleave(repeats, 0)
            valid["actions"] = clip.valid.repeat_interleave(repeats, 0)
            memory = [(k.repeat_interleave(repeats, 0), v.repeat_interleave(repeats, 0)) for k, v in memory]
            wanted["actions"] = roles.actions == "wanted"
        if roles.frames != "absent":
            future = clip.future if clip.future.is_floating_point() else self.frames.encode(clip.future)
            clean["frames"] = self.frames.patches(future)
            valid["frames"] = clip.future_valid.repeat_interleave(self.frames.per_time, 1)
            wanted["frames"] = roles.frames == "wanted"
        noisy = {name: mix(x, noise[name].eps, noise[name].noise()) for name, x in clean.items()}
        student_tap, teacher_tap = self.taps
        features, tapped = self.backbone(self.stream(noisy, noise, clip.at), memory, student_tap)
        predicted = self.read(features, clean, last)
        weights = {"actions": objective.actions, "frames": objective.frames}
        floors = {"actions": objective.actions_floor, "frames": objective.frames_floor}
        losses = {
            name: flow_loss(predicted[name], clean[name], noise[name].noise(), valid[name], floors[name])
            for name in clean
            if wanted[name]
        }
        total = sum((weights[name] * value for name, value in losses.items()), torch.zeros((), device=last.device))
        if objective.kind == "self_flow":
            target = self._teach(teacher, clip, clean, noise, teacher_tap)
            assert self.projector is not None
            losses["align"] = alignment(self.projector(tapped), target)
            losses["mean_direction"] = mean_direction(target)
            total = total + objective.align * losses["align"]
        return {"loss": total, **losses}

    @torch.no_grad()
    def _teach(
        self,
        teacher: WorldModel | None,
        clip: Clip,
        clean: dict[str, Tensor],
        noise: dict[str, NoiseDraw],
        tap: int,
    ) -> Tensor:
        """The teacher's features of the same tokens at the smaller noise, from the same noise sample."""
        if teacher is None or self.projector is None:
            raise ValueError("objective self_flow needs an EMA teacher and a model built with projector=True")
        memory, _ = teacher.observe(clip.images, clip.state, clip.task)
        cleaner = {name: draw.teacher() for name, draw in noise.items()}
        seen = {name: mix(x, cleaner[name].eps, cleaner[name].noise()) for name, x in clean.items()}
        if "actions" in clean and (repeats := len(clean["actions"]) // len(clip.state)) > 1:
            memory = [(k.repeat_interleave(repeats, 0), v.repeat_interleave(repeats, 0)) for k, v in memory]
        return teacher.backbone.features(teacher.stream(seen, cleaner, clip.at), memory, tap)

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
        not be wanted beside them. steps: sampling steps. start: noise to begin from (model units), drawn from
        ``generator`` where absent.
        Raises ValueError if nothing is wanted or something is both given and wanted.
        """
        fixed, at = self._fixed(given, want)
        memory, last = self.observe(given.images, given.state, given.task)
        if want.at is not None and (rows := len(want.at) // len(given.state)) > 1:
            # Several questions about one observation: it is read once, and its memory shared.
            memory = [(k.repeat_interleave(rows, 0), v.repeat_interleave(rows, 0)) for k, v in memory]
            fixed = {name: value.repeat_interleave(rows, 0) for name, value in fixed.items()}
            last = last.repeat_interleave(rows, 0)
        batch, device = len(last), given.state.device
        shapes = {}
        if want.actions:
            shapes["actions"] = (batch, self.config.horizon, self.config.action_dim)
        if want.at is not None:
            shapes["frames"] = (batch, want.at.shape[1] * last.shape[1], last.shape[2])
        if start is None:
            start = {n: torch.randn(s, generator=generator).to(device) for n, s in shapes.items()}

        def level(value: Tensor, amount: Tensor | float) -> NoiseDraw:
            levels = torch.full((1, 1), float(amount), device=device)
            return NoiseDraw(value, levels, torch.zeros(1, value.shape[1], dtype=torch.int64, device=device))

        def denoise(values: dict[str, Tensor], now: Tensor) -> dict[str, Tensor]:
            both = fixed | values
            noise = {n: level(v, now if n in values else 0.0) for n, v in both.items()}
            features, _ = self.backbone(self.stream(both, noise, at), memory)
            predicted = self.read(features, both, last)
            return {n: predicted[n] for n in values}

        out = sample(denoise, start, steps)
        actions = self.actions.decode(out["actions"], given.state) if want.actions else None
        frames = None
        if want.at is not None:
            frames = self.frames.decode(self.frames.assemble(out["frames"], want.at.shape[1]))
        return Prediction(actions, frames)

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
        if given.frames is not None:
            fixed["frames"] = self.frames.patches(self.frames.encode(given.frames))
        return fixed, want.at if given.at is None else given.at

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
