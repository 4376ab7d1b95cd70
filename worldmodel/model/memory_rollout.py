"""Imagined rollouts of models with a memory: frame by frame, one new action at a time, of any length."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from worldmodel.model.remembered import TimeSteps, predict, read, tokens_per_step
from worldmodel.model.rollout import ImaginedRollout, checked
from worldmodel.model.world import WorldModel


class MemoryRollout:
    """B imagined rollouts side by side, one forward pass for all; the face of `ImaginedRollout`.

    Keys and values of the last time steps are kept in a ring as long as the model remembers, so memory does not grow.
    The next frame is one pass of a regression: nothing is random, and ``seeds`` and ``steps`` change nothing.
    """

    def __init__(self, model: WorldModel, batch: int = 1, steps: int = 1) -> None:
        config = model.config
        if not config.memory:
            raise ValueError("this model has no memory of time steps; train one with `experiment=shipped`")
        if batch < 1 or steps < 1:
            raise ValueError(f"batch={batch}, steps={steps}: expected at least 1")
        self.model, self.batch = model, batch
        some, backbone = next(model.parameters()), config.backbone
        self.device = some.device
        self.ages = torch.tensor(config.memory, device=self.device)
        self.keep = max(config.memory) + 1
        blocks, width = backbone.depth + backbone.deep, backbone.width // backbone.heads
        ring = (2 * blocks, batch, backbone.heads, self.keep, tokens_per_step(model), width)
        self.ring = torch.zeros(ring, dtype=some.dtype, device=self.device)
        self.actions = torch.zeros(batch, self.keep, config.action_dim, device=self.device)
        self.images = torch.zeros(batch, len(config.cameras), config.size, config.size, 3, dtype=torch.uint8)
        self.images = self.images.to(self.device)
        self.state = torch.zeros(batch, config.state_dim, device=self.device)
        self.own = torch.zeros(batch, dtype=torch.int64, device=self.device)
        self.age = torch.full((batch,), -1, device=self.device)
        self.clock = 0

    def begin(
        self,
        images: UInt8[Tensor, "R C H W 3"],
        state: Float[Tensor, "R S"],
        rows: Sequence[int] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> None:
        """Restart the rollouts ``rows`` (all where absent) at an observation; the others continue.

        Raises ValueError if shapes do not fit.
        """
        rows = list(range(self.batch)) if rows is None else list(rows)
        self._see(images, state, rows)
        self.age[rows] = 0

    @torch.no_grad()
    def step(self, actions: Float[Tensor, "B A"]) -> tuple[UInt8[Tensor, "B C H W 3"], Float[Tensor, "B S"]]:
        """Execute one action (physical units) in each rollout; returns the imagined frames and states after it.

        Raises ValueError if actions do not fit or are not finite (nothing has changed then), RuntimeError before
        ``begin``.
        """
        model, config = self.model, self.model.config
        if (self.age < 0).any():
            raise RuntimeError("step called before begin; call begin(images, state) first")
        if actions.shape != (self.batch, config.action_dim) or not actions.isfinite().all():
            raise ValueError(f"expected finite actions ({self.batch}, {config.action_dim}), got {tuple(actions.shape)}")
        assert model.body is not None
        slot = self.clock % self.keep
        self.actions[:, slot] = actions.to(self.actions)
        last = model.frames.encode(self.images)
        present = self._moment(last, self.state, self.actions[:, slot], self.own, ago=0)
        fresh, embedded = read(model, present)
        self.ring[:, :, :, slot] = torch.stack([part for pair in fresh for part in pair])
        slots = (self.clock - self.ages) % self.keep
        remembered = self.ring[:, :, :, slots].flatten(3, 4)
        memory = list(zip(remembered[0::2], remembered[1::2], strict=True))
        when = (self.clock + 1) / config.control_hz
        frames, change = predict(model, memory, embedded, last, when, self._there())
        self.images = model.frames.decode(frames)
        self.state = model.body.decode(change, self.state)
        self.own, self.age, self.clock = self.own + 1, (self.age + 1).clamp(max=self.keep - 1), self.clock + 1
        return self.images, self.state

    @torch.no_grad()
    def observe(
        self,
        images: UInt8[Tensor, "R C H W 3"],
        state: Float[Tensor, "R S"],
        rows: Sequence[int] | None = None,
        ago: int = 0,
    ) -> None:
        """Replace what was imagined ``ago`` steps before now by an observation, in ``rows`` (all where absent).

        Raises ValueError if shapes do not fit, or for a step that is not remembered any more.
        """
        rows = list(range(self.batch)) if rows is None else list(rows)
        if not 0 <= ago <= int(self.age[rows].min()):
            raise ValueError(f"ago={ago}: expected a time step that is remembered, 0 to {int(self.age[rows].min())}")
        if ago == 0:
            self._see(images, state, rows)
            return
        pixels = checked(images, state, (len(rows), *self.images.shape[1:]), self.state)
        slot = (self.clock - ago) % self.keep
        seen = self.model.frames.encode(pixels)
        step = self._moment(seen, state.to(self.state), self.actions[rows, slot], 0 * self.own[rows], ago)
        fresh, _ = read(self.model, step)
        self.ring[:, rows, :, slot] = torch.stack([part for pair in fresh for part in pair])

    def _see(self, images: Tensor, state: Tensor, rows: list[int]) -> None:
        """Set the current frames and state. Copies first: callers hold the old arrays."""
        pixels = checked(images, state, (len(rows), *self.images.shape[1:]), self.state)
        self.images, self.state, self.own = self.images.clone(), self.state.clone(), self.own.clone()
        self.images[rows], self.state[rows], self.own[rows] = pixels, state.to(self.state), 0

    def _moment(self, frames: Tensor, state: Tensor, actions: Tensor, own: Tensor, ago: int) -> TimeSteps:
        """One time step of some rollouts, ``ago`` control steps before now."""
        when = torch.tensor([(self.clock - ago) / self.model.config.control_hz], device=self.device)
        return TimeSteps(frames[:, None], state[:, None], actions[:, None], when, own[:, None])

    def _there(self) -> Tensor | None:
        """Which remembered tokens each rollout may read, (B, M): none from before it began. None where all."""
        there = self.ages <= self.age[:, None]
        return None if bool(there.all()) else there.repeat_interleave(tokens_per_step(self.model), 1)


def imagined_rollout(model: WorldModel, batch: int = 1, steps: int = 2) -> ImaginedRollout | MemoryRollout:
    """Rollouts of whichever kind the model has learned. Raises ValueError for a model without any."""
    return MemoryRollout(model, batch, steps) if model.config.memory else ImaginedRollout(model, batch, steps)
