"""Imagined rollouts of any length, one action and one frame at a time."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from worldmodel.backbone import KVCache
from worldmodel.flow.sampler import grid
from worldmodel.model.history import (
    advance,
    encode_steps,
    sample_next,
    self_noise_level,
    stacked,
    tokens_per_step,
    unstacked,
)
from worldmodel.model.records import RolloutHistory
from worldmodel.model.world import WorldModel
from worldmodel.tokens.timesteps import SELF_NOISE_LEVEL

Rows = Sequence[int] | None


class ImaginedRollout:
    """B imagined rollouts side by side, one forward pass for all.

    ``begin`` each from an observation, then ``step`` with one action each; ``observe`` replaces imagined frames by
    observed ones at any time. Keys and values of the last steps are kept in a ring of fixed size. Every rollout has its
    own noise generator and does not depend on its neighbours.

    model: in evaluation mode, on its device and in its dtype; not changed. steps: sampling steps per frame; a model
    with ``memory`` regresses each frame in one pass, without noise. Raises ValueError for a model without rollouts.
    """

    def __init__(self, model: WorldModel, batch: int = 1, steps: int = 2) -> None:
        config = model.config
        if model.body is None:
            advice = "train one with `worldmodel train experiment=everything`"
            raise ValueError(f"this checkpoint has no imagined rollouts (trained with modes.rollout=0); {advice}")
        if batch < 1 or steps < 1:
            raise ValueError(f"batch={batch}, steps={steps}: expected at least 1")
        self.model, self.batch, self.levels = model, batch, grid(steps, config.shift)
        some, backbone = next(model.parameters()), config.backbone
        self.device = some.device
        self.ages = torch.tensor(config.memory or tuple(range(config.window)), device=self.device)
        self.keep = int(self.ages.max()) + 1
        blocks, width = backbone.depth + backbone.deep, backbone.width // backbone.heads
        ring = (2 * blocks, batch, backbone.heads, self.keep, tokens_per_step(model), width)
        self.ring = torch.zeros(ring, dtype=some.dtype, device=self.device)
        self.actions = torch.zeros(batch, self.keep, config.action_dim, device=self.device)
        frames = (batch, len(config.cameras), config.size, config.size, 3)
        self.images = torch.zeros(frames, dtype=torch.uint8, device=self.device)
        self.state = torch.zeros(batch, config.state_dim, device=self.device)
        self.imagined, self.age = (torch.full((batch,), n, device=self.device) for n in (0, -1))
        self.clock = 0
        self.generators = [torch.Generator() for _ in range(batch)]

    def begin(
        self, images: UInt8[Tensor, "R C H W 3"], state: Float[Tensor, "R S"], rows: Rows = None, seeds: Rows = None
    ) -> None:
        """Restart the rollouts ``rows`` (all where absent) at an observation; the others continue.

        seeds: of each one's sampling noise; its row's number where absent. Raises ValueError if shapes do not fit.
        """
        rows = list(range(self.batch)) if rows is None else list(rows)
        self._set_present(images, state, rows)
        self.age[rows] = 0
        if len(rows) == self.batch:
            self.clock = 0
        for row, seed in zip(rows, rows if seeds is None else seeds, strict=True):
            self.generators[row].manual_seed(int(seed))

    @torch.no_grad()
    def step(self, actions: Float[Tensor, "B A"]) -> tuple[UInt8[Tensor, "B C H W 3"], Float[Tensor, "B S"]]:
        """Execute one action (physical units) in each rollout; returns the imagined frames and states after it.

        Raises ValueError, unchanged, if actions do not fit or are not finite; RuntimeError before ``begin``.
        """
        model, config = self.model, self.model.config
        if (self.age < 0).any():
            raise RuntimeError("step called before begin; call begin(images, state) first")
        if actions.shape != (self.batch, config.action_dim) or not actions.isfinite().all():
            raise ValueError(f"expected finite actions ({self.batch}, {config.action_dim}), got {tuple(actions.shape)}")
        assert model.body is not None
        slot = self.clock % self.keep
        self.actions[:, slot] = actions.to(self.actions)
        present = self._step_of(self.images, self.state, self.actions[:, slot], self.imagined, ago=0)
        if config.memory:
            cache, valid = self._remembered(range(self.batch), 0)
            frames, change, own = advance(model, cache, present, model.frames.encode(self.images), valid)
            self._keep(own, slot)
        else:
            self._keep(encode_steps(model, present), slot)
            cache, valid = self._remembered(range(self.batch), 0)
            noise, last, when = self._noise(present.frames.shape[2:]), present.frames[:, 0], self._when(-1)
            found = sample_next(model, cache, noise, last, when, self.levels, valid)
            frames, change = model.frames.assemble(found["frames"], 1)[:, 0], found["body"][:, 0]
        self.images, self.state = model.frames.decode(frames), model.body.decode(change, self.state)
        self.imagined, self.age, self.clock = self.imagined + 1, (self.age + 1).clamp(max=self.keep), self.clock + 1
        return self.images, self.state

    def _keep(self, cache: KVCache, slot: int, rows: Rows = None) -> None:
        """Put a step's keys and values into the ring."""
        where = slice(None) if rows is None else list(rows)
        self.ring[:, where, :, slot] = stacked(cache)

    def _remembered(self, rows: Sequence[int], ago: int) -> tuple[KVCache, Tensor | None]:
        """Keys and values of what these rollouts remember ``ago`` steps before now, and which exist (None: all)."""
        ages = self.ages + ago
        valid = ages <= self.age[list(rows), None]
        kept = self.ring[:, list(rows)][:, :, :, (self.clock - ages) % self.keep].flatten(3, 4)
        return unstacked(kept), None if bool(valid.all()) else valid.repeat_interleave(tokens_per_step(self.model), 1)

    @torch.no_grad()
    def observe(
        self, images: UInt8[Tensor, "R C H W 3"], state: Float[Tensor, "R S"], rows: Rows = None, ago: int = 0
    ) -> None:
        """Replace what was imagined ``ago`` steps before now by an observation, in ``rows`` (all where absent).

        Raises ValueError if shapes do not fit, or for a step that is not remembered any more.
        """
        rows = list(range(self.batch)) if rows is None else list(rows)
        if not 0 <= ago <= int(self.age[rows].min()):
            raise ValueError(f"ago={ago}: expected a time step that is remembered, 0 to {int(self.age[rows].min())}")
        if ago == 0:
            self._set_present(images, state, rows)
            return
        pixels, slot = self._checked(images, state, rows), (self.clock - ago) % self.keep
        then = self._step_of(pixels, state.to(self.state), self.actions[rows, slot], 0 * self.imagined[rows], ago)
        if self.model.config.memory:
            cache, valid = self._remembered(rows, ago)
            self._keep(advance(self.model, cache, then, self.model.frames.encode(pixels), valid)[2], slot, rows)
        else:
            self._keep(encode_steps(self.model, then), slot, rows)

    def _set_present(self, images: Tensor, state: Tensor, rows: list[int]) -> None:
        """Set the current frames and state. Copies first: callers hold the old arrays."""
        pixels = self._checked(images, state, rows)
        self.images, self.state, self.imagined = self.images.clone(), self.state.clone(), self.imagined.clone()
        self.images[rows], self.state[rows], self.imagined[rows] = pixels, state.to(self.state), 0

    def _checked(self, images: Tensor, state: Tensor, rows: list[int]) -> Tensor:
        expected = (len(rows), *self.images.shape[1:])
        if images.shape != expected or images.dtype != torch.uint8:
            found = f"{images.dtype} {tuple(images.shape)}"
            raise ValueError(f"this model takes uint8 frames {expected} (rollouts, cameras, H, W, 3), got {found}")
        if state.shape != (len(rows), self.state.shape[1]) or not state.isfinite().all():
            raise ValueError(f"expected finite states {(len(rows), self.state.shape[1])}, got {tuple(state.shape)}")
        return images.to(self.device)

    def _step_of(self, images: Tensor, state: Tensor, actions: Tensor, imagined: Tensor, ago: int) -> RolloutHistory:
        """One step of some rollouts, ``ago`` control steps before now."""
        frames = self.model.frames
        patches = frames.patches(frames.encode(images)[:, None])
        level = self_noise_level(imagined) if self.model.config.memory else (imagined > 0) * SELF_NOISE_LEVEL
        return RolloutHistory(patches[:, None], state[:, None], actions[:, None], self._when(ago), level[:, None])

    def _when(self, ago: int) -> Float[Tensor, "1"]:
        """Seconds since the clock's start; float64, so that step 10,000 is computed like step 10."""
        seconds = (self.clock - ago) / self.model.config.control_hz
        return torch.tensor([seconds], dtype=torch.float64, device=self.device)

    def _noise(self, frames: torch.Size) -> dict[str, Tensor]:
        """Initial noise of every rollout's next frames and states."""

        def draw(shape: Sequence[int]) -> Tensor:
            return torch.stack([torch.randn(shape, generator=g) for g in self.generators]).to(self.device)

        return {"body": draw((1, self.state.shape[1])), "frames": draw(frames)}
