"""Imagined rollouts that go on while their model learns: every training step is one more step of each."""

import math

import torch
from torch import Tensor

from worldmodel.flow import ROLLOUT
from worldmodel.model.history import self_noise_level
from worldmodel.model.records import RolloutHistory
from worldmodel.objectives.next_step import NextStep
from worldmodel.schema import Clip
from worldmodel.train.step import Batches, Loss

ALONE = 0.5  # share of rollouts that begin with one observation and no history


class RolloutPool:
    """R rollouts beside recorded episodes, under the executed actions. What the model imagines becomes its history.

    The first ``p_real`` of them go one step only, after observed frames; the others go on for 2 to ``longest`` steps
    (log-uniform; ``longest`` is reached little by little), or to the episode's end, then begin elsewhere. Frames are
    kept as bytes, as in use.
    """

    def __init__(self, loss: Loss, batches: Batches) -> None:
        self.loss, self.clips, self.model, self.device = loss, batches.clips, batches.model, batches.device
        self.config, self.generator, shape = batches.config.rollout, batches.generator, batches.model.config
        rows, device = batches.plan(ROLLOUT, batches.config.batch, batches.rng(0)).rows, self.device
        self.ages = torch.tensor(shape.memory, device=device)
        self.keep = int(self.ages.max()) + 1
        self.clock, self.rows = 0, rows
        frames = (rows, self.keep, len(shape.cameras), shape.size, shape.size, 3)
        self.frames = torch.zeros(frames, dtype=torch.uint8, device=device)
        self.state = torch.zeros(rows, self.keep, shape.state_dim, device=device)
        self.own = torch.zeros(rows, self.keep, dtype=torch.int64, device=device)
        self.now, self.left, self.known = (torch.zeros(rows, dtype=torch.int64, device=device) for _ in range(3))

    def tensors(self) -> dict[str, Tensor]:
        """All that the next step depends on, by name."""
        names = ("frames", "state", "own", "now", "left", "known")
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
            self.go_on(found.pop("next_frames"), found.pop("next_state"))
        return found

    def next(self, windows: Tensor, generator: torch.Generator) -> NextStep:
        """The present step of every rollout; those that have ended begin at these windows of the data, int64 (R,)."""
        self._begin(windows.to(self.device), generator)
        order = 1 + torch.randperm(len(self.ages) - 1, generator=generator, device=generator.device).to(self.device)
        ages = torch.cat([self.ages[:1], self.ages[order]])  # a random one is learned from beside the present
        slots = (self.clock - ages) % self.keep
        ids = (self.now[:, None] - ages).clamp(min=0)
        codec, times = self.model.frames, len(ages)
        frames = codec.encode(self.frames[:, slots])
        patches = codec.patches(frames).unflatten(1, (times, -1))
        _, _, actions = self.clips.rows(ids, frames=False)
        truth, state, _ = self.clips.rows(self.now + 1)
        when = -ages / self.model.config.control_hz
        history = RolloutHistory(patches, self.state[:, slots], actions, when, self_noise_level(self.own[:, slots]))
        return NextStep(history, ages <= self.known[:, None], frames[:, 0], codec.encode(truth), state)

    def go_on(self, frames: Tensor, state: Tensor) -> None:
        """What was imagined, (R, C, H, W, 3) in model units and (R, S), is the present from now on."""
        own = self.own[:, self.clock % self.keep] + 1
        self.clock += 1
        slot = self.clock % self.keep
        self.frames[:, slot], self.state[:, slot] = self.model.frames.decode(frames), state
        self.own[:, slot] = own
        self.now, self.left = self.now + 1, self.left - 1
        self.known = (self.known + 1).clamp(max=self.keep - 1)

    def _begin(self, windows: Tensor, generator: torch.Generator) -> None:
        """Begin the rollouts with no steps left at their windows, with all or nothing of what was observed before."""
        rows = (self.left <= 0).nonzero()[:, 0]
        if not len(rows):
            return
        share = torch.rand(2, self.rows, generator=generator, device=generator.device).to(self.device)[:, rows]
        first, last = self.clips.bounds(windows[rows])
        now = torch.minimum(windows[rows], (last - 1).clamp(min=0))
        longest = max(2.0, self.config.longest * min(1.0, self.clock / max(self.config.grow, 1)))
        steps = (2 * (longest / 2) ** share[0]).long()
        real = rows < math.ceil(self.config.p_real * self.rows)
        self.left[rows] = torch.minimum(torch.where(real, 1, steps), last - now).clamp(min=1)
        before = torch.arange(self.keep, device=self.device)
        frames, state, _ = self.clips.rows(torch.maximum(now[:, None] - before, first[:, None]))
        slots = (self.clock - before) % self.keep
        self.frames[rows[:, None], slots], self.state[rows[:, None], slots] = frames, state
        self.own[rows] = 0
        self.now[rows] = now
        self.known[rows] = torch.where(share[1] < ALONE, 0, (now - first).clamp(max=self.keep - 1))
