"""Imagined rollouts: frame by frame, one new action at a time, of any length."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from worldmodel.flow.sampler import grid, sample
from worldmodel.model.history import NoisyNext, RolloutHistory, denoise_next, per_moment, read, shift_cache
from worldmodel.model.world import WorldModel
from worldmodel.tokens.timesteps import SELF_NOISE_LEVEL


class ImaginedRollout:
    """B imagined rollouts side by side, one forward pass for all.

    ``begin`` each from an observation, then ``step`` with one action each; ``observe`` replaces imagined frames by
    observed ones at any time. Only the keys and values of the last ``window`` steps are kept, so memory does not grow.
    Every rollout has its own noise generator and does not depend on its neighbours.

    model: in evaluation mode, on its device and in its dtype; not changed. steps: sampling steps per frame. Raises
    ValueError for a model without rollouts.
    """

    def __init__(self, model: WorldModel, batch: int = 1, steps: int = 2) -> None:
        config = model.config
        if model.body is None:
            raise ValueError(
                "this checkpoint does not stream (it was trained with modes.rollout=0); "
                "train one with `worldmodel train experiment=everything`"
            )
        if batch < 1 or steps < 1:
            raise ValueError(f"batch={batch}, steps={steps}: expected at least 1")
        self.model, self.batch, self.levels = model, batch, grid(steps, config.shift)
        some = next(model.parameters())
        self.device = some.device
        heads = config.backbone.heads
        shape = (batch, heads, config.window * per_moment(model), config.backbone.width // heads)
        nothing = torch.zeros(shape, dtype=some.dtype, device=self.device)
        self.memory = [(nothing.clone(), nothing.clone()) for _ in range(config.backbone.depth)]
        self.actions = torch.zeros(batch, config.window, config.action_dim, device=self.device)
        self.images = torch.zeros(batch, len(config.cameras), config.size, config.size, 3, dtype=torch.uint8)
        self.images = self.images.to(self.device)
        self.state = torch.zeros(batch, config.state_dim, device=self.device)
        self.doubt = torch.zeros(batch, 1, device=self.device)
        self.age = torch.full((batch,), -1, device=self.device)
        self.generators = [torch.Generator() for _ in range(batch)]

    def begin(
        self,
        images: UInt8[Tensor, "R C H W 3"],
        state: Float[Tensor, "R S"],
        rows: Sequence[int] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> None:
        """Restart the rollouts ``rows`` (all where absent) at an observation; the others continue.

        seeds: of each one's sampling noise; its row's number where absent. Raises ValueError if shapes do not fit.
        """
        rows = list(range(self.batch)) if rows is None else list(rows)
        self._see(images, state, rows)
        self.age[rows] = 0
        for row, seed in zip(rows, rows if seeds is None else seeds, strict=True):
            self.generators[row].manual_seed(int(seed))

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
        self.actions = torch.cat([self.actions[:, 1:], actions.to(self.actions)[:, None]], dim=1)
        last, per = model.frames.patches(model.frames.encode(self.images)[:, None]), per_moment(model)
        fresh = read(model, self._moment(last, self.state, self.actions[:, -1], self.doubt, ago=0))
        memory = [
            (torch.cat([keys[:, :, per:], k], dim=2), torch.cat([values[:, :, per:], v], dim=2))
            for (keys, values), (k, v) in zip(self.memory, fresh, strict=True)
        ]
        self.age = (self.age + 1).clamp(max=config.window)
        when, there = self._when(-1), self._there()

        def denoise(values: dict[str, Tensor], level: Tensor) -> dict[str, Tensor]:
            at = level.to(self.device).view(1, 1)
            return denoise_next(model, memory, NoisyNext(values["frames"], values["body"], last, when, at), there)

        found = sample(denoise, self._noise(last.shape[1:]), self.levels)
        self.memory = shift_cache(model, memory, 1 / config.control_hz)
        assert model.body is not None
        self.images = model.frames.decode(model.frames.assemble(found["frames"], 1))[:, 0]
        self.state = model.body.decode(found["body"][:, 0], self.state)
        self.doubt = torch.full_like(self.doubt, SELF_NOISE_LEVEL)
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

        Raises ValueError if shapes do not fit, or for a step outside the window.
        """
        rows = list(range(self.batch)) if rows is None else list(rows)
        if not 0 <= ago <= int(self.age[rows].min()):
            raise ValueError(f"ago={ago}: expected a moment that is remembered, 0 to {int(self.age[rows].min())}")
        if ago == 0:
            self._see(images, state, rows)
            return
        pixels = checked(images, state, (len(rows), *self.images.shape[1:]), self.state)
        window, per = self.model.config.window, per_moment(self.model)
        patches = self.model.frames.patches(self.model.frames.encode(pixels)[:, None])
        moment = self._moment(patches, state, self.actions[rows, window - ago], 0 * self.doubt[rows], ago)
        place = slice((window - ago) * per, (window - ago + 1) * per)
        for (keys, values), (k, v) in zip(self.memory, read(self.model, moment), strict=True):
            keys[rows, :, place], values[rows, :, place] = k, v

    def _see(self, images: Tensor, state: Tensor, rows: list[int]) -> None:
        """Set the current frames and state. Copies first: callers hold the old arrays."""
        pixels = checked(images, state, (len(rows), *self.images.shape[1:]), self.state)
        self.images, self.state, self.doubt = self.images.clone(), self.state.clone(), self.doubt.clone()
        self.images[rows], self.state[rows], self.doubt[rows] = pixels, state.to(self.state), 0.0

    def _moment(self, patches: Tensor, state: Tensor, actions: Tensor, doubt: Tensor, ago: int) -> RolloutHistory:
        """One step of some rollouts, ``ago`` control steps before now."""
        return RolloutHistory(patches[:, None], state.to(self.state)[:, None], actions[:, None], self._when(ago), doubt)

    def _when(self, ago: int) -> Float[Tensor, "1"]:
        """Seconds on a clock whose 0 is now."""
        return torch.tensor([-ago / self.model.config.control_hz], device=self.device)

    def _there(self) -> Tensor | None:
        """Which cached tokens each rollout may read, (B, M): none from before it began. None where all."""
        window = self.model.config.window
        if (self.age == window).all():
            return None
        ago = torch.arange(window, 0, -1, device=self.device)
        return (ago <= self.age[:, None]).repeat_interleave(per_moment(self.model), 1)

    def _noise(self, frames: torch.Size) -> dict[str, Tensor]:
        """Initial noise of every rollout's next frames and states."""

        def draw(shape: Sequence[int]) -> Tensor:
            return torch.stack([torch.randn(shape, generator=g) for g in self.generators]).to(self.device)

        return {"body": draw((1, self.state.shape[1])), "frames": draw(frames)}


def checked(images: Tensor, state: Tensor, expected: tuple[int, ...], like: Tensor) -> Tensor:
    """The observed frames on the device of ``like``, the present states. Raises ValueError if shapes do not fit."""
    if images.shape != expected or images.dtype != torch.uint8:
        found = f"{images.dtype} {tuple(images.shape)}"
        raise ValueError(f"this model imagines uint8 frames {expected} (rollouts, cameras, H, W, 3), got {found}")
    if state.shape != (expected[0], like.shape[1]) or not state.isfinite().all():
        raise ValueError(f"expected finite states {(expected[0], like.shape[1])}, got {tuple(state.shape)}")
    return images.to(like.device)
