"""Rollouts that go on while their model learns: every training step is one more step of each."""

import math

import torch
from torch import Tensor

from worldmodel.flow import ROLLOUT
from worldmodel.model.history import self_noise_level, tokens_per_step, unstacked
from worldmodel.model.records import RolloutHistory
from worldmodel.objectives.next_step import NextStep, moving
from worldmodel.schema import Clip
from worldmodel.train.step import Batches, Loss

UNSEEN = 0.5  # share of rollouts that imagine from their first observation on
ASTRAY = 0.25  # difference of an imagined state from the recorded one, in its range [-1, 1], that ends a rollout


class RolloutPool:
    """R rollouts beside recorded episodes, under the executed actions.

    Each begins at a window of the data, observes for some steps, then imagines: what the model predicted is its next
    present frame, as bytes, as in use. The first ``p_real`` of them only observe. Lengths are log-uniform, up to
    ``longest``, which is reached little by little, or to the episode's end; a rollout whose robot is elsewhere than the
    recorded one ends, since what it would learn from there on is wrong. A step's keys and values are remembered as they
    were when it was the present one, by the weights of then.
    """

    def __init__(self, loss: Loss, batches: Batches) -> None:
        self.loss, self.clips, self.model, self.device = loss, batches.clips, batches.model, batches.device
        self.config, self.generator, shape = batches.config.rollout, batches.generator, batches.model.config
        rows, device = batches.plan(ROLLOUT, batches.config.batch, batches.rng(0)).rows, self.device
        self.ages = torch.tensor(shape.memory, device=device)
        self.keep, self.clock, self.rows, self.tokens = int(self.ages.max()), 0, rows, tokens_per_step(self.model)
        blocks, heads = shape.backbone.depth + shape.backbone.deep, shape.backbone.heads
        ring = (2 * blocks, rows, heads, self.keep, self.tokens, shape.backbone.width // heads)
        self.ring = torch.zeros(ring, dtype=torch.bfloat16, device=device)
        frames = (rows, len(shape.cameras), shape.size, shape.size, 3)
        self.frames = torch.zeros(frames, dtype=torch.uint8, device=device)
        self.state = torch.zeros(rows, shape.state_dim, device=device)
        # Steps imagined in a row, the window beside, steps to observe, steps to imagine, steps remembered
        counts = (torch.zeros(rows, dtype=torch.int64, device=device) for _ in range(5))
        self.own, self.now, self.observing, self.imagining, self.known = counts

    def tensors(self) -> dict[str, Tensor]:
        """All that the next step depends on, by name."""
        names = ("ring", "frames", "state", "own", "now", "observing", "imagining", "known")
        return {name: getattr(self, name) for name in names} | {"clock": torch.tensor(self.clock)}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go on where ``tensors`` were taken. Raises ValueError where they are of another size."""
        for name, value in self.tensors().items():
            if tensors[name].shape != value.shape:
                raise ValueError(f"rollouts of shape {tuple(tensors[name].shape)}, expected {tuple(value.shape)}")
            setattr(self, name, tensors[name].to(self.device))
        self.clock = int(self.clock)

    def __call__(self, clip: Clip, step: int) -> dict[str, Tensor]:
        """The losses of one step of every rollout; those that have ended begin at the clip's windows."""
        with torch.no_grad():
            present = self.next(clip.windows, self.generator(step, 0))
        found = self.loss(present, ROLLOUT, {})
        with torch.no_grad():
            self.go_on(found.pop("next_frames"), found.pop("next_state"), found.pop("keys"))
        return found

    def next(self, windows: Tensor, generator: torch.Generator) -> NextStep:
        """The present step of every rollout; those that have ended begin at these windows of the data, int64 (R,)."""
        self._begin(windows.to(self.device), generator)
        codec, shape = self.model.frames, self.model.config
        frames = codec.encode(self.frames)
        before, _, actions = self.clips.rows(self.now)
        self.truth, self.state_after, _ = self.clips.rows(self.now + 1)
        when = torch.tensor([self.clock / shape.control_hz], dtype=torch.float64, device=self.device)
        present = RolloutHistory(
            codec.patches(frames[:, None])[:, None],
            self.state[:, None],
            actions[:, None],
            when,
            self_noise_level(self.own)[:, None],
        )
        kept = self.ring[:, :, :, (self.clock - self.ages) % self.keep].flatten(3, 4)
        valid = (self.ages <= self.known[:, None]).repeat_interleave(self.tokens, 1)
        moves = moving(codec.encode(before), truth := codec.encode(self.truth))
        return NextStep(unstacked(kept), valid, present, frames, truth, self.state_after, moves)

    def go_on(self, frames: Tensor, state: Tensor, keys: Tensor) -> None:
        """The next step is the present one from now on: observed or as imagined, (R, C, H, W, 3) in model units."""
        self.ring[:, :, :, self.clock % self.keep] = keys.to(self.ring.dtype)
        seen = self.observing > 0
        pick = seen.view(-1, 1, 1, 1, 1)
        self.frames = torch.where(pick, self.truth, self.model.frames.decode(frames))
        codec = self.model.proprioception
        off = (codec.scaling.encode(state.float()) - codec.scaling.encode(self.state_after)).abs().amax(1)
        self.state = torch.where(seen[:, None], self.state_after, state.float())
        self.own = torch.where(seen, 0, self.own + 1)
        self.imagining = torch.where(seen | (off < ASTRAY), self.imagining - (~seen).long(), 0)
        self.observing = self.observing - seen.long()
        self.clock, self.now = self.clock + 1, self.now + 1
        self.known = (self.known + 1).clamp(max=self.keep)

    def _begin(self, windows: Tensor, generator: torch.Generator) -> None:
        """Begin the rollouts with no steps left at their windows, with one observation."""
        ended = (self.observing + self.imagining <= 0) | (self.now >= self.clips.bounds(self.now)[1])
        share = torch.rand(3, self.rows, generator=generator, device=generator.device).to(self.device)
        longest = max(2.0, self.config.longest * min(1.0, self.clock / max(self.config.grow, 1)))
        only = torch.arange(self.rows, device=self.device) < math.ceil(self.config.p_real * self.rows)
        unseen = (share[2] < UNSEEN) & ~only
        observed = torch.where(unseen, 0, (self.keep ** share[0]).long())
        observed = torch.where(only, (2 * (self.config.longest / 2) ** share[0]).long(), observed)
        imagined = torch.where(only, 0, (2 * (longest / 2) ** share[1]).long())
        now = torch.minimum(windows, (self.clips.bounds(windows)[1] - 1).clamp(min=0))
        frames, state, _ = self.clips.rows(now)
        self.frames = torch.where(ended.view(-1, 1, 1, 1, 1), frames, self.frames)
        self.state = torch.where(ended[:, None], state, self.state)
        none = torch.zeros_like(now)
        fresh = {"own": none, "known": none, "now": now, "observing": observed, "imagining": imagined}
        for name, value in fresh.items():
            setattr(self, name, torch.where(ended, value, getattr(self, name)))
