"""The training loop."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldmodel import checkpoint
from worldmodel.backbone import BackboneConfig
from worldmodel.data import EpisodeStore
from worldmodel.data.clips import Clips, ClipSpec
from worldmodel.experience import Clip
from worldmodel.flow import MODES, NoiseConfig, NoiseDraw, ObjectiveConfig, draw_noise
from worldmodel.flow.noise import no_noise
from worldmodel.model import ModelConfig
from worldmodel.train.augment import AugmentConfig, augment
from worldmodel.train.optimiser import OptimiserConfig, average
from worldmodel.train.state import Learner, build, saved


def option(help: str, default: Any) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class ModesConfig:
    """Share of the training steps that each mode gets."""

    policy: float = 0.76
    joint: float = 0.06
    forward: float = 0.12
    inverse: float = 0.03
    video: float = 0.03


@dataclass(frozen=True)
class TrainConfig:
    """Everything about a run. Sizes of models differ in ``backbone`` alone."""

    data: str
    out: str
    steps: int = 12000
    batch: int = 64
    seed: int = 0
    patch: int = 16
    future: int = 2
    holdout: float = 0.05
    device: str = "auto"
    compile: bool = True
    log_every: int = 20
    save_every: int = 500
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    modes: ModesConfig = field(default_factory=ModesConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)


def train(config: TrainConfig) -> None:
    torch.set_float32_matmul_precision("high")
    stores = [EpisodeStore.open(p) for p in config.data.split(",")]
    tasks = ("place_can", "lift_can")
    mc = ModelConfig(backbone=config.backbone, patch=config.patch, tasks=tasks)
    clips = Clips(stores, ClipSpec(mc.cameras, mc.horizon, mc.tasks), config.holdout)
    clips.load()
    learner = build(mc, config.optimiser, config.steps, config.seed, config.objective.kind == "self_flow")
    out = Path(config.out)
    states = saved(out / "states")
    if states:
        learner.restore(states[-1])
        print("resumed", learner.step)
    else:
        idx = np.random.default_rng(config.seed).choice(len(clips), min(20000, len(clips)), replace=False)
        fit = clips_small(clips, idx)
        learner.model.actions.scaling.fit(fit[0])
        learner.model.proprioception.scaling.fit(fit[1])
        learner.ema.load_state_dict(learner.model.state_dict())
    loss = half(learner.model)
    if config.compile:
        fast = torch.compile(loss, dynamic=False)
    names = list(MODES)
    shares = np.array([getattr(config.modes, n) for n in names])
    shares = shares / shares.sum()
    log = (out / "metrics.txt").open("a")
    t0, s0 = time.time(), learner.step
    sums: dict[str, list[float]] = {}
    while learner.step < config.steps:
        step = learner.step
        rng = np.random.default_rng([config.seed, step])
        gen = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        mode = names[rng.choice(len(names), p=shares)]
        roles = MODES[mode]
        has = roles.frames != "absent"
        batch = config.batch // 2 if has else config.batch
        at = np.sort(rng.permuted(np.tile(np.arange(1, 17), (batch, 1)), axis=1)[:, : config.future], axis=1) if has else None
        clip = clips.gather(clips.order(step, config.batch, config.seed)[:batch], at).map(torch.as_tensor)
        clip = augment(clip, config.augment, gen)
        noise = draws(learner, mode, batch, config, gen)
        losses = (fast if config.compile and mode == "policy" else loss)(clip, mode, noise, config.objective, None)
        losses["loss"].backward()
        norm = learner.optimiser.update(step)
        average(learner.ema, learner.model, step, config.optimiser.ema)
        learner.step += 1
        for k, v in losses.items():
            sums.setdefault(f"{mode}/{k}", []).append(float(v.detach()))
        sums.setdefault("norm", []).append(float(norm))
        if learner.step % config.log_every == 0:
            rate = (learner.step - s0) / (time.time() - t0) * config.batch
            line = f"{learner.step} {time.time()-t0:.0f}s {rate:.0f}/s " + " ".join(f"{k}={np.mean(v):.4f}" for k, v in sums.items() if not k.endswith("/loss"))
            print(line, flush=True)
            log.write(line + "\n")
            log.flush()
            sums = {}
        if learner.step % config.save_every == 0 or learner.step == config.steps:
            learner.save(out / "states", {})
            checkpoint.save(learner.ema, out / "model", {"steps": learner.step})


class _Loss(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, *args):
        return self.model.loss(*args)


def half(model):
    wrapped = _Loss(model)

    def loss(*args):
        weights = {n: p.to(torch.bfloat16) for n, p in wrapped.named_parameters()}
        return torch.func.functional_call(wrapped, weights, args)

    return loss


def clips_small(clips: Clips, idx: np.ndarray) -> tuple[Tensor, Tensor]:
    from worldmodel.experience import ACTION, STATE

    time_, end = clips.time[idx], clips.end[idx]
    chunk = np.minimum(time_[:, None] + np.arange(clips.spec.horizon), end[:, None] - 1)
    a = torch.as_tensor(clips._take(ACTION, idx, chunk))
    s = torch.as_tensor(clips._take(STATE, idx, time_))
    a[..., :3] -= s[:, None, :3]
    return a, s


def draws(learner: Learner, mode: str, batch: int, config: TrainConfig, gen: torch.Generator) -> dict[str, NoiseDraw]:
    m, roles = learner.model, MODES[mode]
    dual = config.objective.kind == "self_flow"
    out = {}
    if roles.actions != "absent":
        n = batch * (config.objective.draws if mode == "policy" else 1)
        shape = (n, m.config.horizon, m.config.action_dim)
        out["actions"] = draw_noise(config.noise.actions, shape, gen, dual and config.noise.actions.masked > 0) if roles.actions == "wanted" else no_noise(shape)
    if roles.frames != "absent":
        shape = (batch, config.future * m.frames.per_time, m.config.patch**2 * 3)
        out["frames"] = draw_noise(config.noise.frames, shape, gen, dual) if roles.frames == "wanted" else no_noise(shape)
    return out
