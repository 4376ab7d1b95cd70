"""What is drawn for a training step's batch, wherever its arrays come from: `worldmodel train`'s stores or LeRobot."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from worldmodel.flow import MODES, ROLLOUT, NoiseSample
from worldmodel.flow.noise import clean_draw
from worldmodel.model import WorldModel
from worldmodel.objectives.noise import draw_noise, draw_observed, draw_regression
from worldmodel.schema import Clip
from worldmodel.tokens.task import SENTENCE
from worldmodel.train.config import AugmentConfig, TrainConfig

IMITATES = ("policy", "joint")
"""Modes that learn what to do, from demonstrations alone; the others learn from whatever happened."""

AS_RECORDED: dict[str, dict[str, Any]] = {
    "inverse": {"shift": 0},  # where things are in the picture is what it reads
    ROLLOUT: {
        "shift": 0,
        "gain": 0.0,
        "brightness": 0.0,
        "offset": 0.0,
    },  # else any colour is right
}
"""What augmentation leaves alone, by mode."""

READ_ONCE = ("policy", "inverse")
"""Modes whose frames are all given: they are read once for several noise samples."""


@dataclass(frozen=True)
class BatchPlan:
    """What is decided for a batch before any of its arrays is loaded.

    rows: how many of the batch's windows take part, the first ones. at: control steps (from 1) after the observation
    whose frames each row has, int64 (rows, F); None where the mode leaves later frames out. states: the state vectors
    of these steps are needed as well. executed: the actions to learn are those carried out, not those wanted.
    """

    mode: str
    rows: int
    at: Int[np.ndarray, "R F"] | None = None
    states: bool = False
    executed: bool = False


class StepRng:
    """All that is random in a step: a function of the seed and the step's number alone."""

    def __init__(self, model: WorldModel, config: TrainConfig, device: torch.device) -> None:
        self.model, self.config, self.device = model, config, device
        self.modes = (*MODES, ROLLOUT)
        shares = np.array([getattr(config.modes, mode) for mode in self.modes])
        self.shares = shares / shares.sum()
        self.paraphrases = None
        if model.config.words:
            from worldmodel.tokens.language import Paraphrases  # here: few models read

            self.paraphrases = Paraphrases(model.instruction, model.config.tasks)

    def make(
        self, step: int, load: Callable[[BatchPlan], Clip], batch: int, offered: Sequence[int] | None = None
    ) -> tuple[str, Clip, dict[str, NoiseSample]]:
        """Mode, augmented clip and noise of a step, on the device.

        load: the arrays of the first ``plan.rows`` of ``batch`` windows. offered: as in `plan`.
        """
        rng = self.rng(step)
        plan = self.plan(self.mode(rng), batch, rng, None if offered is None else np.asarray(offered))
        clip = self.augmented(self.finish(load(plan), plan, rng), plan.mode, step)
        return plan.mode, clip, self.noise(plan.mode, len(clip.state), step)

    def rng(self, step: int) -> np.random.Generator:
        """The random numbers of a step's mode, time steps and sentences, used in that order."""
        return np.random.default_rng([self.config.seed, step])

    def mode(self, rng: np.random.Generator) -> str:
        """One of the modes, each as often as the config says."""
        return self.modes[rng.choice(len(self.modes), p=self.shares)]

    def plan(self, mode: str, batch: int, rng: np.random.Generator, offered: np.ndarray | None = None) -> BatchPlan:
        """How many of ``batch`` windows take part, and each one's later frames.

        Modes with frames take half of the windows. Rollouts take a quarter, each with as many frames in a row as the
        model conditions on and the one after, and those of the burn-in. ``offered``: the control steps whose frames
        can be had, ascending; any of the chunk_size's where absent.
        """
        if mode == ROLLOUT and self.model.config.memory:
            return BatchPlan(mode, max(1, batch // 2))
        if mode == ROLLOUT:
            rows, last = max(1, batch // 4), self.model.config.window + self.config.rollout.burn_in
            return BatchPlan(mode, rows, np.tile(np.arange(1, last + 1), (rows, 1)), states=True)
        if MODES[mode].frames == "absent":
            return BatchPlan(mode, batch)
        rows, inverse = max(1, batch // 2), mode == "inverse"
        steps = np.arange(1, self.model.config.chunk_size + 1) if offered is None else offered
        return BatchPlan(mode, rows, self._later_steps(rows, steps, rng, near=inverse), executed=inverse)

    def _later_steps(self, rows: int, steps: np.ndarray, rng: np.random.Generator, near: bool) -> np.ndarray:
        """Control steps (rows, F) of the later frames: any of ``steps``, ascending.

        ``near``: for seven of eight rows the very next ones; from frames far apart only the sum of the actions between
        can be read.
        """
        every = np.tile(steps, (rows, 1))
        at: np.ndarray = np.sort(rng.permuted(every, axis=1)[:, : self.config.future], axis=1)
        close = near & (np.arange(rows) % 8 != 7)
        at[close] = every[close, : self.config.future]
        return at

    def finish(self, clip: Clip, plan: BatchPlan, rng: np.random.Generator) -> Clip:
        """The loaded windows (NumPy arrays or tensors) as a clip on the device, labelled for the mode.

        Inverse dynamics predicts what was done until its last frame. A sentence is drawn for every sample.
        """
        if plan.executed:
            assert plan.at is not None
            until = torch.as_tensor(np.arange(self.model.config.chunk_size) < plan.at[:, -1:])
            valid = torch.as_tensor(clip.valid)
            clip = replace(clip, valid=valid & until.to(valid.device))
        if self.paraphrases is not None:
            sentences = self.paraphrases.draw(np.asarray(torch.as_tensor(clip.task).cpu()), rng)
            clip = replace(clip, more={**clip.more, SENTENCE: sentences})
        return clip.map(lambda array: torch.as_tensor(array).to(self.device))

    def augmented(self, clip: Clip, mode: str, step: int) -> Clip:
        """The clip's frames shifted and recoloured, as far as the mode allows, in model units."""
        law = replace(self.config.augment, **AS_RECORDED.get(mode, {}))
        return augment(clip, law, torch.Generator().manual_seed(self.config.seed * 1_000_003 + step))

    def noise(self, mode: str, batch: int, step: int) -> dict[str, NoiseSample]:
        """Noise for every modality that the mode does not leave out; none for what it gives.

        Each modality draws from a generator of its own, so that more draws for one leave the others' as they are. What
        is optional is left out every other time where it would be given: at deployment it may be missing.
        """
        laws, objective, model = self.config.noise, self.config.objective, self.model
        if mode == ROLLOUT and model.config.memory:
            return {}
        if mode == ROLLOUT:
            from worldmodel.objectives.rollout_noise import rollout_noise  # here: few runs roll out

            draws = rollout_noise(model, self.config.rollout, laws.rollout, batch, lambda n: self.generator(step, n))
            return {name: draw.to(self.device) for name, draw in draws.items()}
        spec, rows = objective.spec, batch * (objective.repeats() if mode in READ_ONCE else 1)
        out: dict[str, NoiseSample] = {}
        for number, (name, modality) in enumerate(model.modalities.items()):
            role, shape = getattr(MODES[mode], modality.role), modality.shape(rows, self.config.future)
            generator = self.generator(step, number)
            if role == "given":
                left_out = modality.optional and torch.rand((), generator=generator, device=generator.device) < 0.5
                if not modality.with_observation and not left_out:
                    out[name] = clean_draw(torch.zeros(shape))
            elif role == "wanted" and name == "actions" and spec.passes:
                out[name] = draw_regression(shape, generator, spec)
            elif role == "wanted":
                frames = self.config.future if name == "frames" else 1
                out[name] = draw_noise(laws.law(name, modality), shape, generator, spec, frames)
        if model.config.cameras:
            seen = model.frames.shape(batch, 1)
            if observed := draw_observed(laws.observed, seen, self.generator(step, len(out) + 7), spec):
                out["observed"] = observed
        return {name: draw.to(self.device) for name, draw in out.items()}

    def generator(self, step: int, purpose: int) -> torch.Generator:
        """Random numbers of one purpose in one step."""
        seed = int(np.random.SeedSequence([self.config.seed, step, purpose]).generate_state(1, np.uint64)[0] >> 1)
        return torch.Generator(self.device).manual_seed(seed)


def augment(clip: Clip, config: AugmentConfig, generator: torch.Generator) -> Clip:
    """Shift and recolour a clip's frames, to ``pixels`` and ``future_pixels`` in model units.

    One draw per clip, shared by its frames and cameras, so that it cannot look like motion.
    """
    batch, device = len(clip.images), clip.images.device
    shift = torch.randint(-config.shift, config.shift + 1, (batch, 2), generator=generator).to(device)
    gain = 1 + config.gain * (2 * torch.rand(batch, 3, generator=generator) - 1)
    gain = gain * (1 + config.brightness * (2 * torch.rand(batch, 1, generator=generator) - 1))
    offset = config.offset * (2 * torch.rand(batch, 3, generator=generator) - 1)
    gain, offset = gain.to(device), offset.to(device)
    pixels = _recolour(_shifted(clip.images, shift), gain, offset)
    if clip.future is None:
        return replace(clip, pixels=pixels)
    future = _shifted(clip.future.flatten(1, 2), shift).unflatten(1, clip.future.shape[1:3])
    return replace(clip, pixels=pixels, future_pixels=_recolour(future, gain, offset))


def _shifted(frames: Tensor, shift: Tensor) -> Tensor:
    """Move every clip's frames (B, X, H, W, 3) by its own whole pixels."""
    height, width = frames.shape[2:4]
    rows = (torch.arange(height, device=frames.device) + shift[:, :1]).clamp(0, height - 1)
    columns = (torch.arange(width, device=frames.device) + shift[:, 1:]).clamp(0, width - 1)
    batch = torch.arange(len(frames), device=frames.device)
    return frames[batch[:, None, None], :, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2, 4)


def _recolour(frames: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    """Bytes to [-1, 1] with every clip's gain and offset per channel, clamped to the range."""
    shape = (len(frames), *([1] * (frames.ndim - 2)), 3)
    scale, bias = gain.view(shape) / 127.5, offset.view(shape) - 1
    return torch.addcmul(bias, frames.float(), scale).clamp_(-1, 1)
