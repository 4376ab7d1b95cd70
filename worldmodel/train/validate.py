"""What a run measures while it learns: the held-out loss, and closed-loop success on validation starts."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from worldmodel.assets import asset
from worldmodel.data.clips import Clips
from worldmodel.flow import MODES, ROLLOUT
from worldmodel.model import WorldModel
from worldmodel.objectives import loss
from worldmodel.processes import PARENT
from worldmodel.sims.gymnasium.name import slug
from worldmodel.sims.remote.install import MEGABYTES
from worldmodel.sims.remote.process import python_of
from worldmodel.train.config import ValidationConfig
from worldmodel.train.log import say
from worldmodel.train.step import Batches
from worldmodel.train.step_rng import IMITATES


@torch.no_grad()
def held_out_loss(model: WorldModel, held_out: Clips, batches: Batches, windows: int = 256) -> dict[str, float]:
    """Losses of the same held-out windows, time steps and noise at every call, without augmentation."""
    rng, config, out = np.random.default_rng(0), batches.config, dict[str, float]()
    chosen = rng.choice(len(held_out), min(windows, len(held_out)), replace=False)
    kind = "flow" if model.config.sampler == "flow" else config.objective.name
    objective = replace(config.objective, name=kind)
    still = Batches(held_out, model, replace(config, objective=objective, seed=0), batches.device)
    for mode in ("policy", "forward", *([] if model.config.memory else [ROLLOUT])):
        some = chosen[held_out.demonstrated[chosen]] if mode in IMITATES else chosen
        if getattr(config.modes, mode) <= 0 or not len(some):
            continue
        clip = still.clip(some, mode, rng)
        found = loss(model, clip, mode, still.noise(mode, len(clip.state), 0), objective)
        if mode == ROLLOUT:
            measured = {f"{mode}_{name}": name for name in ("frames", "body")}
        else:
            measured = {mode: "actions" if MODES[mode].actions == "wanted" else "frames"}
            measured |= {name: name for name in model.further if name in found}
        out |= {f"held_out/{key}": round(float(found[name]), 5) for key, name in measured.items()}
    return out


def fitting(config: ValidationConfig, tasks: tuple[str, ...]) -> ValidationConfig:
    """The validation that a model of ``tasks`` can have: none, with a line that says so, for the default task.

    Raises ValueError, one line, for another ``validation.task`` that cannot be evaluated.
    """
    if not config.every:
        return config
    if config.task not in tasks:
        why = f"the model learns {', '.join(tasks)}; give one of these"
    elif not asset("eval/starts").joinpath(f"{slug(config.task)}.validation.npz").is_file():
        why = "no validation starts are shipped for it; give a task that has some"
    else:
        if (host := config.task.partition(":")[0]) in MEGABYTES:
            python_of(host)
        return config
    if config.task != ValidationConfig.task:
        raise ValueError(f"validation.task={config.task}: {why}, or validation.every=0")
    say(f"no validation while training: validation.task={config.task}: {why}")
    return replace(config, every=0)


def closed_loop(run: Path, step: int, config: ValidationConfig) -> dict[str, float]:
    """Success of the run's exported weights, by `worldmodel evaluate` in a process of its own without a GPU.

    Returns nothing if the evaluation fails; its output in ``validation/<step>/log`` says why.
    """
    out = run / "validation" / f"{step:08d}"
    out.mkdir(parents=True, exist_ok=True)
    words = [f"checkpoint={run}", f"task={config.task}", f"episodes={config.episodes}", "starts=validation", "videos=4"]
    if config.task.partition(":")[0] in MEGABYTES:  # each of its processes takes up to 0.9 GB, and 40 s to start
        words += ["batch=4", "timeout=600"]
    command = [sys.executable, "-m", "worldmodel.cli", "evaluate", *words, f"out={out}"]
    with (out / "log").open("w") as log:
        env = os.environ | {"CUDA_VISIBLE_DEVICES": "", PARENT: str(os.getpid())}
        subprocess.run(command, stdout=log, stderr=log, env=env, check=False)
    try:
        report = json.loads((out / "report.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    low, high = report["interval"]
    return {"validation/success_rate": report["success_rate"], "validation/low": low, "validation/high": high}
