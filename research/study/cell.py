"""One cell, in a process of its own: train, evaluate, measure; the row grows on disk with each part."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from research.study import rows
from research.study.plan import Cell, Study
from worldmodel.config import UserError
from worldmodel.files import write_json
from worldmodel.processes import end_with_parent

INTERRUPTED, FAILED, DONE = 130, 1, 0
POINTS = 12
"""Values kept of each curve of the training log."""


def serve(study: Study, cell: Cell) -> None:
    """Body of a cell's process. Exit code 0: its row is whole; 130: interrupted, nothing lost; 1: see its log."""
    folder = study.where / cell.name
    folder.mkdir(parents=True, exist_ok=True)
    os.setsid()  # Ctrl-C in a terminal reaches the parent alone, which passes it on once
    signal.signal(signal.SIGINT, signal.default_int_handler)
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    end_with_parent()
    try:
        run(study, cell)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except (UserError, ValueError, OSError) as error:
        sys.exit(" ".join(str(error).split()))  # the log's last line, which the parent shows


def run(study: Study, cell: Cell) -> rows.Row:
    """Do what is missing of a cell; returns its row. KeyboardInterrupt where it was stopped."""
    import torch

    torch.set_num_threads(1)
    row = rows.begin(study, cell)
    path, left = rows.path_of(study.plan, cell), rows.missing(study, cell, row)
    if not left:
        return row
    folder = study.where / cell.name
    final = study.final(cell)
    claim(folder, study.settings(cell))
    learn(study, cell)
    if "training" in left:
        row |= course(study, cell)
        rows.write(path, row)
    for name in study.plan.perturb:
        if name in left:
            solved = evaluate_model(study, final, study.plan.episodes, name)
            row["perturbed"] = row.get("perturbed", {}) | {name: solved}
            rows.write(path, row)
    for steps in study.plan.sampler_steps:
        if f"{steps} sampler steps" in left:
            solved = evaluate_model(study, final, study.plan.episodes, steps=steps)
            row["sampled"] = row.get("sampled", {}) | {str(steps): solved}
            rows.write(path, row)
    for delay in study.plan.delays:
        if f"delay {delay}" in left:
            solved = evaluate_model(study, final, study.plan.episodes, delay=delay)
            row["delayed"] = row.get("delayed", {}) | {str(delay): solved}
            rows.write(path, row)
    if "imagination" in left:
        stage(folder, "imagining")
        row["imagination"] = imagination(study, final)
        rows.write(path, row)
    if "sound" in left:
        stage(folder, "listening")
        row["sound"] = sound(study, final)
        rows.write(path, row)
    if "probe" in left:
        stage(folder, "probing")
        row["probe"] = probe(study, final)
        rows.write(path, row)
    stage(folder, "done")
    return row


def claim(folder: Path, settings: dict[str, Any]) -> None:
    """Weights of other settings are not gone on with: UserError where the folder has some."""
    note = folder / "settings.json"
    if note.is_file():
        if differs := rows.difference(json.loads(note.read_text()), settings):
            raise UserError(f"{folder} holds weights of {differs}; remove it or use another out=")
    else:
        write_json(note, settings)


def learn(study: Study, cell: Cell) -> None:
    """Train, or go on with it; nothing where the final weights are still there."""
    from worldmodel.train import train

    folder = study.where / cell.name
    stage(folder, "training")
    if not (study.final(cell) / "model.json").is_file():
        train(study.training(cell))


def course(study: Study, cell: Cell) -> rows.Row:
    """What training cost and how success and losses went: the row's main part."""
    folder, plan = study.where / cell.name, study.plan
    last = plan.length(cell.arm)
    log = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    found = []
    for step in plan.milestones(cell.arm):
        episodes = plan.episodes if step == last else plan.curve_episodes
        solved = evaluate_model(study, folder / "models" / f"{step:08d}", episodes)
        held_out = {
            key.partition("/")[2]: row[key] for row in log if row["step"] == step for key in row if "held_out/" in key
        }
        found.append({"step": step, **spent(log, step), "held_out": held_out, "solved": solved})
    return {
        **spent(log, last),
        "parameters": parameters(folder),
        "made": made(study),
        "checkpoints": found,
        "curves": curves(log),
    }


def evaluate_model(
    study: Study, model: Path, episodes: int, perturb: str = "none", steps: int | None = None, delay: int = 0
) -> str:
    """Evaluate closed loop; a character per start, "1" where it was solved. KeyboardInterrupt where stopped."""
    from worldmodel.evaluate.config import EvaluateConfig
    from worldmodel.evaluate.evaluate import evaluate

    plan, folder = study.plan, model.parents[1]
    way = f"{steps}-steps" if steps is not None else f"delay-{delay}" if delay else perturb
    out = folder / "evaluated" / f"{model.name}-{way}"
    stage(folder, f"evaluating {int(model.name)} {'' if way == 'none' else way}".strip())
    protocol = {"task": plan.task, "starts": plan.starts, "perturb": perturb, "episodes": episodes, "steps": steps}
    protocol |= {"delay": delay, "n_action_steps": plan.execute}
    ways = {"workers": 1, "batch": plan.simulators, "threads": 1, "videos": 0}
    if evaluate(EvaluateConfig(out=str(out), checkpoint=str(model), device=plan.device, **protocol, **ways)):  # type: ignore[arg-type]
        raise KeyboardInterrupt
    lines = [json.loads(line) for line in (out / "episodes.jsonl").read_text().splitlines()]
    success = {line["episode"]: bool(line["success"]) for line in lines}
    return "".join("1" if success[index] else "0" for index in range(episodes))


def imagination(study: Study, weights: Path) -> rows.Row:
    """PSNR of frames imagined under the executed actions, by steps ahead, on held-out episodes."""
    from research.bench.imagining import psnr_by_step
    from worldmodel import checkpoint
    from worldmodel.imagine.modes import open_clips
    from worldmodel.policies import ModelPolicy

    plan = study.plan
    model = ModelPolicy(checkpoint.load(weights), plan.task, plan.execute, device=plan.device).model
    clips = open_clips(model.config, plan.data.split(",")[0], plan.holdout)
    found = psnr_by_step(model, clips, plan.imagine)
    psnr = {key: [at[key] for at in found["psnr"]] for key in ("imagined", "copy_last_frame")}
    return {"psnr": psnr, "moments": found["moments"], "episodes": found["episodes"]}


def sound(study: Study, weights: Path, most: int = 512) -> rows.Row:
    """How well the chunk's sound is predicted under the executed actions, on held-out episodes.

    "r2": share of the variance of the log-power in its bands that the prediction explains, 0 for one that always
    predicts the mean of these time steps; "r2_loud" the same over the louder half of the control steps.
    """
    import numpy as np
    import torch

    from worldmodel import checkpoint
    from worldmodel.imagine.modes import open_clips
    from worldmodel.model import Given, Want
    from worldmodel.schema import AUDIO

    model = checkpoint.load(weights)
    audio = model.further["audio"]
    clips = open_clips(model.config, study.plan.data.split(",")[0], study.plan.holdout)
    chosen = np.sort(np.random.default_rng(0).permutation(len(clips))[:most])
    clip = clips.gather(chosen, np.full((len(chosen), 1), model.config.chunk_size)).map(torch.as_tensor)
    given = Given(clip.images, clip.state, clip.task, clip.executed, more=clip.more)
    found = model.predict(given, Want(at=clip.at), generator=torch.Generator().manual_seed(0)).more["audio"]
    valid = clip.more_future[f"{AUDIO}.valid"]
    truth, guess = audio.truth(clip, True)[valid], found[valid]
    error, spread = (guess - truth).square().mean(-1), (truth - truth.mean(0)).square().mean(-1)
    loud = truth.mean(-1) >= truth.mean(-1).median()
    scores = {"r2": 1 - error.mean() / spread.mean(), "r2_loud": 1 - error[loud].mean() / spread[loud].mean()}
    return {name: round(float(value), 4) for name, value in scores.items()} | {"steps": len(truth)}


def probe(study: Study, weights: Path) -> rows.Row:
    """Scores of linear probes on held-out episodes: the best of each kind of features, and by block."""
    from research.probe import ProbeConfig, measure

    data = study.plan.data.split(",")[0]
    found = measure(ProbeConfig(data=data, out="", checkpoint=str(weights), threads=1, quick=True))
    best: rows.Row = {name: {} for name in found["targets"]}
    for score in found["best"]:
        if score["tokens"] == "observed" and score["noise"] == 0:
            best[score["target"]][score["features"]] = score["score"]
    layers: rows.Row = {}
    for score in found["results"]:
        if score["features"] == "model" and score["pooling"] == "grid":
            kind = layers.setdefault(f"{score['tokens']} frames, noise {score['noise']:g}", {})
            kind.setdefault(score["target"], {})[str(score["layer"])] = score["score"]
    return {"best": best, "layers": layers, "episodes": found["data"]["episodes"], "seconds": found["seconds"]}


def spent(log: Sequence[Mapping[str, float]], step: int) -> dict[str, float]:
    """Wall-clock and processor seconds of training up to a step."""
    rows_before = [row for row in log if row["step"] <= step]
    return {key: round(sum(row.get(key, 0.0) for row in rows_before), 1) for key in ("seconds", "cpu_seconds")}


def curves(log: Sequence[Mapping[str, float]]) -> dict[str, list[list[float]]]:
    """Every curve of a training log as at most `POINTS` pairs (last step, mean) over equal stretches of the run."""
    aside = {"step", "seconds", "cpu_seconds", "samples_per_second", "rate"}
    last, found = max(row["step"] for row in log), {}
    for key in dict.fromkeys(key for row in log for key in row if key not in aside):
        stretches: dict[int, list[tuple[float, float]]] = {}
        for row in log:
            if key in row:
                stretches.setdefault(int((row["step"] - 1) * POINTS / last), []).append((row["step"], row[key]))
        found[key] = [
            [points[-1][0], float(f"{sum(value for _, value in points) / len(points):.4g}")]
            for points in stretches.values()
        ]
    return found


def parameters(folder: Path) -> int:
    """Numbers in the exported weights."""
    from worldmodel import checkpoint

    return sum(value.numel() for value in checkpoint.load(folder).parameters())


def made(study: Study) -> dict[str, Any]:
    """What the row was made with: no part of its identity, but reports say where it differs."""
    import torch

    from worldmodel.evaluate.run import machine

    plan = study.plan
    facts = {"code": rows.code(), "torch": torch.__version__, "data": list(study.ground.recordings)}
    return facts | {"device": plan.device, "compile": plan.compile, "workers": plan.workers} | machine()


def stage(folder: Path, name: str) -> None:
    """Write the stage that the cell is at, for the progress bar."""
    (folder / "stage").write_text(name)
