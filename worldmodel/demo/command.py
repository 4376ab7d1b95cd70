"""The command ``demo``: one robot, one policy, one observation at a time, as it would run on a real arm."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from worldmodel import checkpoint
from worldmodel.config import UserError
from worldmodel.demo import page
from worldmodel.demo.config import DemoConfig
from worldmodel.demo.film import Film, Surprise
from worldmodel.devices import use_threads
from worldmodel.evaluate.evaluate import drawn, settle, starts_for
from worldmodel.evaluate.initial_states import Starts
from worldmodel.evaluate.run import INTERRUPTED, EvalRun, crowded, machine
from worldmodel.files import write_file, write_json
from worldmodel.policies.load import PolicyOptions, load_policy
from worldmodel.processes import Pool
from worldmodel.report.stats import quantiles, wilson
from worldmodel.report.video import provenance
from worldmodel.rollout.loop import BatchedRollout, EpisodeResult
from worldmodel.rollout.policy import BatchedPolicy, noise_seed, stack
from worldmodel.schema import CONTROL_HZ, Arrays
from worldmodel.settings import keep
from worldmodel.sims.base import InitialState, SimulatorSpec, StepResult
from worldmodel.sims.make import check, slots_of

WARM_UP = 3
"""Chunks requested before the first episode: the first ones pay for allocations that no later one does."""


@dataclass(frozen=True)
class DemoEpisode:
    """One finished episode of the demo; milliseconds, one per decision (``cpu_ms``: processor time of ``act``)."""

    result: EpisodeResult
    film: Film
    act_ms: list[float]
    cpu_ms: list[float]
    imagine_ms: list[float]

    def line(self) -> dict[str, Any]:
        return {**self.result.line(), "psnr": _pair(self.film.surprise.overall())}


def demo(config: DemoConfig) -> int:
    """Roll a checkpoint out on held-out starts and write ``index.html``; 130 where interrupted, with what there is."""
    evaluation = config.evaluation()
    check(SimulatorSpec(config.task))
    use_threads(config.threads)
    path, starts = starts_for(evaluation)
    options = PolicyOptions(config.n_action_steps, config.steps, config.device)
    loaded = load_policy(config.checkpoint, config.task, options)
    modes = checkpoint.trained_modes(config.checkpoint)
    if modes is not None and "forward" not in modes:
        raise UserError(
            f"checkpoint={config.checkpoint}: it never learned to imagine (modes.forward=0), which a demo shows; for "
            f"videos alone: worldmodel evaluate checkpoint={config.checkpoint} task={config.task} episodes=6"
        )
    return show(config, settle(evaluation, loaded, starts or drawn(evaluation, path), path))


def show(config: DemoConfig, this: EvalRun) -> int:
    """Play the episodes one after another, each filmed as it ends, then write the page."""
    out, console, scenes = Path(config.out), Console(stderr=True), list[DemoEpisode]()
    (out / "videos").mkdir(parents=True, exist_ok=True)
    keep(out, config)
    comment, status = provenance(this.loaded.name, this.loaded.sha256), 0
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("starting the simulator", total=config.episodes)
        try:
            with Pool(slots_of(this.simulator), slots=1, processes=1) as simulators:
                for start in choose(this.starts, config.episodes, config.seed):
                    scene = perform(this, simulators, start, warm=bool(scenes))
                    scene.film.write(out / "videos" / f"{start.index:04d}", comment)
                    scenes.append(scene)
                    wins = sum(scene.result.success for scene in scenes)
                    progress.update(bar, description=f"{wins} of {len(scenes)} succeeded", advance=1)
        except KeyboardInterrupt:
            status = INTERRUPTED
    if scenes:
        found = summarize(config, this, scenes)
        write_json(out / "demo.json", found)
        write_file(out / "index.html", page.render(found))
        say(found, out)
    if status:
        print(f"interrupted after {len(scenes)} of {config.episodes} episodes")
    return status


def choose(starts: Starts, episodes: int, seed: int) -> list[InitialState]:
    """The first ``episodes`` starts for seed 0, others for another."""
    order = np.random.default_rng(seed).permutation(len(starts)) if seed else np.arange(len(starts))
    initial_states = starts.first(len(starts))
    return [initial_states[i] for i in order[:episodes]]


class ImaginingPolicy(BatchedPolicy):
    """One observation at a time, as on a real arm; after each decision the frames that it will lead to are imagined."""

    def __init__(self, policy: Any, n_action_steps: int, warm: bool) -> None:
        super().__init__(policy, 1)
        self.n_action_steps, self.warm = n_action_steps, warm
        self.cpu_ms, self.imagine_ms = list[float](), list[float]()
        self.imagined: dict[str, np.ndarray] = {}

    def call(
        self, stacked: Arrays, seeds: np.ndarray, committed: Sequence[np.ndarray | None] | None = None
    ) -> np.ndarray:
        worked = time.process_time()
        chunk = super().call(stacked, seeds, committed)
        self.cpu_ms.append(1000 * (time.process_time() - worked))
        return chunk

    def act(
        self, observations: list[Arrays], seeds: list[int], committed: Sequence[np.ndarray | None] | None = None
    ) -> np.ndarray:
        """The chunk; frames of its first ``n_action_steps`` are imagined beside it."""
        batch = stack(observations)
        for _ in range(0 if self.warm else WARM_UP):
            super().call(batch, np.array(seeds, np.int64))
        self.warm = True
        chunk = super().act(observations, seeds, committed)
        began = time.perf_counter()
        imagined = self.policy.imagine(batch, chunk, list(range(1, self.n_action_steps + 1)))  # type: ignore[attr-defined]
        self.imagine_ms.append(1000 * (time.perf_counter() - began))
        self.imagined = {key: value[0] for key, value in imagined.items()}
        return chunk


def perform(this: EvalRun, simulators: Pool, start: InitialState, warm: bool = True) -> DemoEpisode:
    """One episode closed loop: observe, act, imagine the frames to come, then run the chunk."""
    config, films, results = this.config, list[Film](), list[EpisodeResult]()

    def on_result(start: InitialState, result: StepResult) -> None:
        if not result.steps:  # a beginning, perhaps after a simulator was lost
            films.append(Film(this.loaded.cameras))
            films[-1].begin(result.observation or {})
        else:
            films[-1].chunk(result.frames, policy.imagined)

    policy = ImaginingPolicy(this.loaded.policy, config.n_action_steps, warm)
    noise = partial(noise_seed, config.seed)
    loop = BatchedRollout(policy, simulators, config.n_action_steps, noise, on_result=on_result, record=True)
    loop.run([start], results.append)
    return DemoEpisode(results[0], films[-1], policy.milliseconds, policy.cpu_ms, policy.imagine_ms)


def summarize(config: DemoConfig, this: EvalRun, scenes: list[DemoEpisode]) -> dict[str, Any]:
    """Everything the page and the terminal say, as one JSON record."""
    wins, surprise = sum(scene.result.success for scene in scenes), Surprise()
    for scene in scenes:
        surprise.merge(scene.film.surprise)
    act_ms = [ms for scene in scenes for ms in scene.act_ms]
    share = sum(ms for scene in scenes for ms in scene.cpu_ms) / max(sum(act_ms), 1e-9)
    return {
        "task": config.task,
        "task_summary": this.task_summary,
        "checkpoint": this.loaded.name,
        "weights": this.loaded.sha256,
        "starts": this.starts.sha256,
        "episodes": len(scenes),
        "successes": wins,
        "interval": list(wilson(wins, len(scenes))),
        "act_ms": {**quantiles(act_ms), "n": len(act_ms)},
        "imagine_ms": quantiles(ms for scene in scenes for ms in scene.imagine_ms),
        "n_action_steps": config.n_action_steps,
        "chunk_ms": 1000 * config.n_action_steps / CONTROL_HZ,
        "within_one_step": float(np.mean(np.array(act_ms) <= 1000 / CONTROL_HZ)),
        "psnr": {str(ahead): _pair(pair) for ahead, pair in surprise.decibels().items()},
        "scenes": [scene.line() for scene in scenes],
        "fingerprint": this.fingerprint,
        "machine": machine(),
        "notes": [*this.notes, *crowded(share, this.loaded.device)],
    }


def _pair(decibels: tuple[float, float]) -> dict[str, float]:
    return dict(zip(("imagined", "copy_last_frame"), (round(value, 2) for value in decibels), strict=True))


def say(found: dict[str, Any], out: Path) -> None:
    (low, high), act, chunk = found["interval"], found["act_ms"], found["chunk_ms"]
    span = f"95 % interval {100 * low:.0f} to {100 * high:.0f} %"
    print(f"{found['task']}: {found['successes']} of {found['episodes']} succeeded ({span})")
    print(
        f"control rate: {CONTROL_HZ} Hz; act p50 {act['p50']:.1f} ms, p95 {act['p95']:.1f} ms per chunk of "
        f"{found['n_action_steps']} steps ({chunk:.0f} ms of motion); "
        f"{100 * found['within_one_step']:.0f} % within one step"
    )
    for note in found["notes"]:
        print(f"note: {note}")
    print(f"{out / 'index.html'}: open it in a browser, no server needed (xdg-open, open or start, then the path)")
