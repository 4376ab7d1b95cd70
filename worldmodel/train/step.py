"""One training step's ingredients, all drawn from (seed, step): that makes resuming exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from worldmodel.backbone import fast_dtype
from worldmodel.data.clips import Clips
from worldmodel.flow import MODES, STREAM, NoiseDraw, ObjectiveConfig, draw_noise
from worldmodel.flow.noise import draw_observed, draw_regression, no_noise
from worldmodel.model import WorldModel
from worldmodel.schema import Clip
from worldmodel.tokens.language import SENTENCE, Language, Paraphrases
from worldmodel.train.augment import augment
from worldmodel.train.config import TrainConfig
from worldmodel.train.streaming import stream_noise

type Loss = Callable[[Clip, str, dict[str, NoiseDraw]], dict[str, Tensor]]

IMITATES = ("policy", "joint")
"""Modes that learn what to do, from demonstrations alone; the others learn from whatever happened."""

AS_RECORDED: dict[str, dict[str, Any]] = {
    "inverse": {"shift": 0},  # where things are in the picture is what it reads
    STREAM: {"shift": 0, "gain": 0.0, "brightness": 0.0, "offset": 0.0},  # else any colour is right, and dreams drift
}
"""What augmentation leaves alone, by mode."""

READ_ONCE = ("policy", "inverse")
"""Modes whose frames are all given: they are read once for several noise samples."""


class Draws:
    """What is random in a step besides its windows: a function of the seed and the step's number alone."""

    def __init__(self, model: WorldModel, config: TrainConfig, device: torch.device) -> None:
        self.model, self.config, self.device = model, config, device
        self.modes = (*MODES, STREAM)
        shares = np.array([getattr(config.modes, mode) for mode in self.modes])
        self.shares = shares / shares.sum()
        language, tasks = model.instruction, model.config.tasks
        self.paraphrases = Paraphrases(language, tasks) if isinstance(language, Language) else None

    def mode(self, rng: np.random.Generator) -> str:
        """One of the modes, each as often as the config says."""
        return self.modes[rng.choice(len(self.modes), p=self.shares)]

    def noise(self, mode: str, batch: int, step: int) -> dict[str, NoiseDraw]:
        """Noise for every modality that the mode does not leave out; none for what it gives.

        Each modality draws from a generator of its own, so that arms that draw more for one leave the others' as they
        are. Sound that would be given with the frames is left out every other time: at deployment it may be missing.
        """
        if mode == STREAM:
            draws = stream_noise(self.model, self.config, batch, lambda purpose: self.generator(step, purpose))
            return {name: draw.to(self.device) for name, draw in draws.items()}
        laws, objective, model = self.config.noise, self.config.objective, self.model
        arm, rows = objective.arm, batch * (objective.repeats() if mode in READ_ONCE else 1)
        out: dict[str, NoiseDraw] = {}
        for number, (name, modality) in enumerate(model.modalities.items()):
            role, shape = getattr(MODES[mode], modality.role), modality.shape(rows, self.config.future)
            generator = self.generator(step, number)
            if role == "given" and name == "frames":
                continue
            if role == "given" and name == "audio" and torch.rand((), generator=generator) < 0.5:
                continue
            if role == "given":
                out[name] = no_noise(shape)
            elif role == "wanted" and name == "actions" and arm.passes:
                out[name] = draw_regression(shape, generator, arm)
            elif role == "wanted":
                moments = self.config.future if name == "frames" else 1
                out[name] = draw_noise(getattr(laws, name), shape, generator, arm, moments)
        if model.config.cameras:
            seen = model.frames.shape(batch, 1)
            if observed := draw_observed(laws.observed, seen, self.generator(step, len(out) + 7), arm):
                out["observed"] = observed
        return {name: draw.to(self.device) for name, draw in out.items()}

    def generator(self, step: int, purpose: int) -> torch.Generator:
        """Random numbers of one purpose in one step."""
        seed = int(np.random.SeedSequence([self.config.seed, step, purpose]).generate_state(1, np.uint64)[0] >> 1)
        return torch.Generator().manual_seed(seed)


class Batches(Draws):
    """The batch of any step: mode, clip and noise, each a function of the seed and the step's number alone."""

    def __init__(self, clips: Clips, model: WorldModel, config: TrainConfig, device: torch.device) -> None:
        super().__init__(model, config, device)
        self.clips = clips

    def draw(self, step: int) -> tuple[str, Clip, dict[str, NoiseDraw]]:
        """Mode, augmented clip and noise of a step, on the device."""
        rng = np.random.default_rng([self.config.seed, step])
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + step)
        mode = self.mode(rng)
        windows = self.clips.order(step, self.config.batch, self.config.seed, demonstrated=mode in IMITATES)
        clip = self.clip(windows, mode, rng)
        law = replace(self.config.augment, **AS_RECORDED.get(mode, {}))
        return mode, augment(clip, law, generator), self.noise(mode, len(clip.state), step)

    def moments(self, windows: int, mode: str, rng: np.random.Generator) -> np.ndarray:
        """Control steps (windows, F) of the later frames: any of the horizon's, and in order.

        For seven of eight windows of inverse dynamics they are the very next ones: from frames far apart only the sum
        of what was done between them can be read, and that is asked of as many actions as lie between.
        """
        moments = np.tile(np.arange(1, self.clips.spec.horizon + 1), (windows, 1))
        at: np.ndarray = np.sort(rng.permuted(moments, axis=1)[:, : self.config.future], axis=1)
        if mode == "inverse":
            near = np.arange(windows) % 8 != 7
            at[near] = moments[near, : self.config.future]
        return at

    def clip(self, windows: np.ndarray, mode: str, rng: np.random.Generator) -> Clip:
        """The windows as a clip on the device; modes with frames take half of them, each with its own moments.

        Streams take a quarter, each with as many moments in a row as the model looks back on and the one after, and
        those that lead there. Inverse dynamics is asked what was done, not what was wanted, and until its last frame.
        A model that reads its instruction gets another sentence for every sample.
        """
        at = None
        if mode == STREAM:
            windows = windows[: max(1, len(windows) // 4)]
            last = self.model.config.window + self.config.stream.lead
            at = np.tile(np.arange(1, last + 1), (len(windows), 1))
        elif MODES[mode].frames != "absent":
            windows = windows[: max(1, len(windows) // 2)]
            at = self.moments(len(windows), mode, rng)
        clip = self.clips.gather(windows, at, states=mode == STREAM, done=mode == "inverse")
        if mode == "inverse":
            assert at is not None
            clip = replace(clip, valid=clip.valid & (np.arange(self.clips.spec.horizon) < at[:, -1:]))
        if self.paraphrases is not None:
            clip = replace(clip, more={**clip.more, SENTENCE: self.paraphrases.draw(clip.task, rng)})
        return clip.map(lambda array: torch.as_tensor(array).to(self.device))


class _Loss(nn.Module):
    """The model's loss as a module's forward, which is what functional calls can see."""

    def __init__(self, model: WorldModel, teacher: WorldModel | None, objective: ObjectiveConfig) -> None:
        super().__init__()
        self.model, self.teacher, self.objective = model, teacher, objective

    def forward(self, clip: Clip, mode: str, noise: dict[str, NoiseDraw]) -> dict[str, Tensor]:
        return self.model.loss(clip, mode, noise, self.objective, self.teacher)


def losses(model: WorldModel, teacher: WorldModel, config: TrainConfig) -> tuple[Loss, Loss]:
    """The loss function twice: for policy batches, compiled where asked for, and for the rarer other modes.

    Weights are held in float32 and, where bfloat16 is fast, cast to it for every step, so that all activations are
    bfloat16 too (with autocast they would not be, and their traffic is the cost); gradients arrive in float32.
    """
    whole = _Loss(model, teacher if config.objective.arm.teacher != "none" else None, config.objective)
    dtype = fast_dtype(next(model.parameters()).device)

    def loss(clip: Clip, mode: str, noise: dict[str, NoiseDraw]) -> dict[str, Tensor]:
        if dtype == torch.float32:
            return whole(clip, mode, noise)
        weights = {name: value.to(dtype) for name, value in whole.named_parameters()}
        out: dict[str, Tensor] = torch.func.functional_call(whole, weights, (clip, mode, noise))
        return out

    return (torch.compile(loss, dynamic=False) if config.compile else loss), loss
