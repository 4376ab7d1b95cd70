"""The verb ``demo``: one robot, one policy, one look at a time, as it would run on a real arm."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from worldmodel import checkpoint
from worldmodel.config import UserError, option
from worldmodel.demo import page
from worldmodel.demo.film import Film, Surprise
from worldmodel.evaluate.actor import crowded, noise_seed, stack
from worldmodel.evaluate.candidate import open_candidate, use_threads
from worldmodel.evaluate.evaluate import INTERRUPTED, EvaluateConfig, Exam, check_names, machine, settle
from worldmodel.evaluate.frozen import Starts, Trial, find
from worldmodel.evaluate.simulators import ATTEMPTS, Simulators
from worldmodel.evaluate.stage import Moment
from worldmodel.files import write_file, write_json
from worldmodel.report.stats import quantiles, wilson
from worldmodel.schema import CONTROL_HZ

WARM_UP = 3
"""Chunks asked for before the first episode: the first ones pay for allocations that no later one does."""


@dataclass(frozen=True)
class DemoConfig:
    """What to show and where the page goes."""

    episodes: int = option("how many episodes", 10)
    task: str = option("place_can or lift_can", "place_can")
    checkpoint: str = option("shipped, or the folder of a checkpoint", "shipped")
    out: str = option("folder of the page", "outputs/demo")
    seed: int = option("0 takes the first test starts, another number draws others; also seeds the policy", 0)
    execute: int = option("actions executed of each chunk before looking again", 8)
    steps: int | None = option("sampler steps per chunk; null takes the checkpoint's own", None)
    device: str = option("where the policy runs: cpu, cuda, or auto", "auto")
    threads: int = option("threads of the policy on a CPU; 0 takes half of the cores", 0)

    def exam(self) -> EvaluateConfig:
        """The same as an evaluation; raises ValueError for values out of range."""
        shared = {name: getattr(self, name) for name in ("episodes", "task", "checkpoint", "out", "seed", "execute")}
        return EvaluateConfig(
            **shared, steps=self.steps, device=self.device, threads=self.threads, starts="test", workers=1, batch=1
        )


@dataclass(frozen=True)
class Scene:
    """One finished episode of the demo; milliseconds, one per decision (``cpu_ms``: processor time of ``act``)."""

    trial: Trial
    moment: Moment
    film: Film
    act_ms: list[float]
    cpu_ms: list[float]
    imagine_ms: list[float]

    def line(self) -> dict[str, Any]:
        """The episode as one JSON record."""
        imagined, copied = self.film.surprise.overall()
        return {
            "episode": self.trial.index,
            "start": self.trial.sha256,
            "success": self.moment.success,
            "steps": self.moment.steps,
            "seconds": self.moment.steps / CONTROL_HZ,
            "decisions": len(self.act_ms),
            "psnr": {"imagined": round(imagined, 2), "copy_last_frame": round(copied, 2)},
            **self.moment.course,
        }


class LostError(Exception):
    """The simulator's process hung or died in the middle of an episode."""


def demo(config: DemoConfig) -> int:
    """Roll a checkpoint out on held-out starts and write ``index.html``; 130 where interrupted, with what there is."""
    exam_config = config.exam()
    check_names(config.task)
    use_threads(config.threads)
    path = find("test", config.task)
    starts = Starts.load(path)
    candidate = open_candidate(config.checkpoint, config.task, config.execute, config.steps, config.device)
    taught = checkpoint.taught(config.checkpoint)
    if taught is not None and "forward" not in taught:
        raise UserError(
            f"checkpoint={config.checkpoint}: it never learned to imagine (modes.forward=0), which a demo shows; for "
            f"videos alone: worldmodel evaluate checkpoint={config.checkpoint} task={config.task} episodes=6"
        )
    return show(config, settle(exam_config, candidate, starts, path))


def show(config: DemoConfig, exam: Exam) -> int:
    """Play the episodes one after another, each filmed as it ends, then write the page."""
    out, console, scenes = Path(config.out), Console(stderr=True), list[Scene]()
    (out / "videos").mkdir(parents=True, exist_ok=True)
    maker = f"checkpoint {exam.candidate.name}, weights {exam.candidate.sha256[:16]}"
    status = 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("starting the simulator", total=config.episodes)
        try:
            with Simulators(exam.stages, slots=1, processes=1) as simulators:
                for trial in choose(exam.starts, config.episodes, config.seed):
                    scene = attempt(exam, simulators, trial, warm=bool(scenes))
                    scene.film.write(out / "videos" / f"{trial.index:04d}", maker)
                    scenes.append(scene)
                    wins = sum(scene.moment.success for scene in scenes)
                    progress.update(bar, description=f"{wins} of {len(scenes)} succeeded", advance=1)
        except KeyboardInterrupt:
            status = INTERRUPTED
    if scenes:
        found = summarize(config, exam, scenes)
        write_json(out / "demo.json", found)
        write_file(out / "index.html", page.render(found))
        say(found, out)
    if status:
        print(f"interrupted after {len(scenes)} of {config.episodes} episodes")
    return status


def choose(starts: Starts, episodes: int, seed: int) -> list[Trial]:
    """The first ``episodes`` starts for seed 0, others for another."""
    trials = starts.trials(len(starts))
    order = np.arange(len(trials)) if seed == 0 else np.random.default_rng(seed).permutation(len(trials))
    return [trials[i] for i in order[:episodes]]


def attempt(exam: Exam, simulators: Simulators, trial: Trial, warm: bool) -> Scene:
    """Perform one episode, again where its simulator is lost, a few times at most."""
    for _ in range(ATTEMPTS):
        try:
            return perform(exam, simulators, trial, warm)
        except LostError as lost:
            reason = str(lost)
    raise UserError(f"episode {trial.index}: its simulator {reason}, {ATTEMPTS} times; see `worldmodel doctor`")


def perform(exam: Exam, simulators: Simulators, trial: Trial, warm: bool = True) -> Scene:
    """One episode closed loop: look, act, imagine what will be seen, then run the chunk and see."""
    policy: Any = exam.candidate.policy
    execute, seed = exam.config.execute, exam.config.seed
    film, act_ms, imagine_ms = Film(exam.candidate.cameras), list[float](), list[float]()
    cpu_ms = list[float]()
    policy.reset()
    moment = ask(simulators, "begin", trial)
    film.begin(moment.observation or {})
    while moment.observation is not None:
        batch = stack([moment.observation])
        seeds = np.array([noise_seed(seed, trial, len(act_ms))], np.int64)
        for _ in range(0 if warm else WARM_UP):
            policy.act(batch, seeds=seeds)
        warm = True
        worked, began = time.process_time(), time.perf_counter()
        chunk = policy.act(batch, seeds=seeds)
        acted = time.perf_counter()
        cpu_ms.append(1000 * (time.process_time() - worked))
        imagined = policy.imagine(batch, chunk, list(range(1, execute + 1)))
        act_ms.append(1000 * (acted - began))
        imagine_ms.append(1000 * (time.perf_counter() - acted))
        moment = ask(simulators, "advance", chunk[0, :execute], True)
        film.chunk(moment.frames, {key: value[0] for key, value in imagined.items()})
    return Scene(trial, moment, film, act_ms, cpu_ms, imagine_ms)


def ask(simulators: Simulators, verb: str, *arguments: Any) -> Moment:
    """One question to the one simulator. Raises LostError where it cannot answer."""
    answer = simulators.one(0, verb, *arguments)
    if answer.moment is None:
        raise LostError(answer.lost)
    return answer.moment


def summarize(config: DemoConfig, exam: Exam, scenes: list[Scene]) -> dict[str, Any]:
    """Everything the page and the terminal say, as one JSON record."""
    wins, surprise = sum(scene.moment.success for scene in scenes), Surprise()
    for scene in scenes:
        surprise.merge(scene.film.surprise)
    act_ms = [ms for scene in scenes for ms in scene.act_ms]
    share = sum(ms for scene in scenes for ms in scene.cpu_ms) / max(sum(act_ms), 1e-9)
    psnr = surprise.decibels()
    return {
        "task": config.task,
        "checkpoint": exam.candidate.name,
        "weights": exam.candidate.sha256,
        "starts": exam.starts.sha256,
        "episodes": len(scenes),
        "successes": wins,
        "interval": list(wilson(wins, len(scenes))),
        "act_ms": {**quantiles(act_ms), "n": len(act_ms)},
        "imagine_ms": quantiles(ms for scene in scenes for ms in scene.imagine_ms),
        "execute": config.execute,
        "chunk_ms": 1000 * config.execute / CONTROL_HZ,
        "within_one_step": float(np.mean(np.array(act_ms) <= 1000 / CONTROL_HZ)),
        "psnr": {
            str(ahead): {"imagined": round(a, 2), "copy_last_frame": round(b, 2)} for ahead, (a, b) in psnr.items()
        },
        "scenes": [scene.line() for scene in scenes],
        "fingerprint": exam.fingerprint,
        "machine": machine(),
        "notes": [*exam.notes, *crowded(share, exam.candidate.device)],
    }


def say(found: dict[str, Any], out: Path) -> None:
    """What a person reads at the end."""
    (low, high), act, chunk = found["interval"], found["act_ms"], found["chunk_ms"]
    print(
        f"{found['task']}: {found['successes']} of {found['episodes']} succeeded "
        f"(95 % interval {100 * low:.0f} to {100 * high:.0f} %)"
    )
    print(
        f"control rate: {CONTROL_HZ} Hz; act p50 {act['p50']:.1f} ms, p95 {act['p95']:.1f} ms per chunk of "
        f"{found['execute']} steps ({chunk:.0f} ms of motion); {100 * found['within_one_step']:.0f} % within one step"
    )
    for note in found["notes"]:
        print(f"note: {note}")
    print(f"{out / 'index.html'}: open it in a browser, no server needed (xdg-open, open or start, then the path)")
