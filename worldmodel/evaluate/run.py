"""One evaluation from its first episode to its report: roll out, film, time, write."""

import platform
import time
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import worldmodel
from worldmodel import checkpoint
from worldmodel.config import UserError
from worldmodel.devices import cores
from worldmodel.evaluate import report
from worldmodel.evaluate.config import EvaluateConfig
from worldmodel.evaluate.initial_states import SPLITS, Starts
from worldmodel.evaluate.journal import EvalJournal
from worldmodel.interrupt import check_interrupted
from worldmodel.policies.load import LoadedPolicy
from worldmodel.processes import Pool
from worldmodel.report.stats import quantiles, wilson
from worldmodel.rollout.loop import BatchedRollout, EpisodeResult
from worldmodel.rollout.policy import BatchedPolicy, noise_seed, stack
from worldmodel.schema import CONTROL_HZ, Arrays
from worldmodel.settings import keep
from worldmodel.sims.base import InitialState, SimulatorSpec
from worldmodel.sims.make import slots_of

INTERRUPTED = 130
WARM_UP, TIMED = 5, 100
"""Single-observation calls made before and while ``act`` is timed."""


@dataclass(frozen=True)
class EvalRun:
    """Everything that was settled before the first episode."""

    config: EvaluateConfig
    loaded: LoadedPolicy
    starts: Starts
    initial_states: list[InitialState]
    simulator: SimulatorSpec
    fingerprint: dict[str, Any]
    notes: list[str]
    rate: float = CONTROL_HZ
    task_summary: str = ""

    def identity(self) -> dict[str, Any]:
        """What must be equal for episodes to belong to one evaluation."""
        config = self.config
        found = {key: getattr(config, key) for key in ("task", "perturb", "n_action_steps", "steps", "seed", "batch")}
        found |= {key: self.fingerprint[key] for key in ("mujoco", "scene_sha256", "size", "cameras")}
        found |= {"weights": self.loaded.sha256, "device": self.loaded.device, "starts": self.starts.sha256}
        if config.where == "dream":
            found["world"] = checkpoint.card(config.world)["sha256"]
        if config.instruction is not None:
            found["instruction"] = config.instruction
        return found | ({"delay": config.delay} if config.delay else {})


def run(this: EvalRun) -> int:
    """Run what is left of an evaluation, film some of it, time the policy, and write the report."""
    config, out = this.config, Path(this.config.out)
    starts = {start.index: start.sha256 for start in this.initial_states}
    journal = EvalJournal(out, this.identity(), starts, this.rate)
    keep(out, config)
    console = Console(stderr=True)
    if journal.lines:
        console.print(f"resuming {out}: {len(journal.lines)} of {config.episodes} episodes are there", highlight=False)
    policy, noise = BatchedPolicy(this.loaded.policy, config.batch), partial(noise_seed, config.seed)
    try:
        with slots_for(this) as simulators:
            check_interrupted()
            rollout = BatchedRollout(policy, simulators, config.n_action_steps, noise, config.delay)
            roll_out(this, journal, rollout, console)
            drawn_by = film(this, journal, simulators, console)
    except KeyboardInterrupt:
        print(f"interrupted: {len(journal.lines)} of {config.episodes} episodes are kept in {out}")
        print("resume with the same command")
        return INTERRUPTED
    found = summarize(this, journal, rollout, drawn_by)
    report.write(out, found, journal.lines)
    say(found, out)
    return 0


def slots_for(this: EvalRun) -> Any:
    """Where episodes run: simulators in processes, or a world model in this one. A context manager of `Slots`."""
    config = this.config
    if config.where == "dream":
        from worldmodel.imagine.slots import ImaginedSlots  # here: few evaluations are imagined

        return ImaginedSlots(config.world, this.simulator, config.batch)
    return Pool(slots_of(this.simulator), config.batch, config.workers, config.timeout)


def roll_out(this: EvalRun, journal: EvalJournal, rollout: BatchedRollout, console: Console) -> None:
    import_module("scipy.stats")  # takes a second: now, while simulators start, not when the first episode ends
    left = [start for start in this.initial_states if start.index not in journal.lines]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("starting simulators", total=len(this.initial_states), completed=len(journal.lines))

        def finished(result: EpisodeResult) -> None:
            journal.add(result)
            wins = sum(line["success"] for line in journal.lines.values())
            low, high = wilson(wins, len(journal.lines))
            rate = f"{100 * wins / len(journal.lines):.1f} % succeed ({100 * low:.0f} to {100 * high:.0f})"
            progress.update(bar, description=rate, completed=len(journal.lines))

        try:
            rollout.run(left, finished)
        finally:
            spent = {"steps": rollout.steps, "seconds": round(rollout.seconds, 3)}
            journal.session(**spent, replaced=getattr(rollout.slots, "replaced", 0))


def film(this: EvalRun, journal: EvalJournal, simulators: Any, console: Console) -> dict[str, Any]:
    """Replay episodes into videos, failures first and then successes; returns the fingerprint of what drew them."""
    folder = Path(this.config.out, "videos")
    chosen = report.failures_first(journal.lines)[: this.config.videos]
    missing = [i for i in chosen if not (folder / f"{i:04d}.mp4").is_file()]
    initial_states = {start.index: start for start in this.initial_states}
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("filming", total=len(missing))
        for first in range(0, len(missing), simulators.slots):
            shown = dict(enumerate(missing[first : first + simulators.slots]))
            for slot, index in shown.items():
                path = str(folder / f"{index:04d}.mp4")
                simulators.ask(slot, "film", initial_states[index], journal.actions(index), path)
            for reply in simulators.answers():
                progress.advance(bar)
                index = shown.get(reply.slot, -1)
                if reply.lost:
                    this.notes.append(f"some videos are missing: a simulator {reply.lost}; the same command films them")
                elif reply.value.success != journal.lines[index]["success"]:
                    this.notes.append(f"the replay of episode {index} ended differently; is this the same machine?")
    drawn_by = simulators.one(0, "fingerprint")
    if drawn_by.lost:
        raise UserError(f"a simulator {drawn_by.lost}; `worldmodel doctor` probes it")
    return dict(drawn_by.value)


def summarize(this: EvalRun, journal: EvalJournal, rollout: BatchedRollout, drawn_by: dict[str, Any]) -> dict[str, Any]:
    """The report as one JSON record. Times ``act`` now: the simulators are gone and the machine is idle."""
    config, spent, policy = this.config, journal.session(), rollout.policy
    assert isinstance(policy, BatchedPolicy)
    timing = journal.run.get("timing")
    if rollout.samples or timing is None:
        batch = {**quantiles(policy.milliseconds), "size": config.batch, "n": len(policy.milliseconds)}
        timing = {"act_ms": time_single(policy, rollout.samples), "batch_ms": batch}
    if rollout.samples:
        journal.run["timing"] = timing
        journal.session()
    elif timing["act_ms"]["n"] == 0:
        this.notes.append("every episode was there already, and none was timed")
    made_by = {"weights": this.loaded.sha256, "device": this.loaded.device, "runtime": this.loaded.runtime}
    return {
        "task": config.task,
        "checkpoint": this.loaded.name,
        "perturb": config.perturb,
        "starts": {"name": Path(config.starts).name, "sha256": this.starts.sha256, "split": config.starts in SPLITS},
        **report.score(journal.lines),
        **timing,
        "steps_per_second": round(spent["steps"] / spent["seconds"], 1) if spent.get("seconds") else None,
        "where": f"imagined by {config.world}" if config.where == "dream" else "simulator",
        **{key: getattr(config, key) for key in ("n_action_steps", "delay", "steps", "seed", "batch", "workers")},
        "spent": spent,
        "notes": list(dict.fromkeys([*this.notes, *crowded(timing["act_ms"]["cpu_share"], this.loaded.device)])),
        "paired": report.compare(journal.lines, Path(config.against)) if config.against else None,
        "fingerprint": {**this.fingerprint, **drawn_by, **made_by, **machine()},
    }


def machine() -> dict[str, Any]:
    import torch

    versions = {"worldmodel": worldmodel.__version__, "python": platform.python_version()}
    system = f"{platform.system()} {platform.machine()}"
    return {**versions, "system": system, "cores": cores(), "threads": torch.get_num_threads()}


def say(found: dict[str, Any], out: Path) -> None:
    low, high = found["interval"]
    rate = f"{100 * found['success_rate']:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f} %)"
    where = "" if found["where"] == "simulator" else f" {found['where']}"
    print(f"{found['task']}{where}: {found['successes']} of {found['episodes']} succeeded, {rate}")
    if found["act_ms"]["n"]:
        print(f"act, one observation: p50 {found['act_ms']['p50']:.1f} ms, p95 {found['act_ms']['p95']:.1f} ms")
    for note in found["notes"]:
        print(f"note: {note}")
    if result := found["paired"]:
        print(f"against {result['against']}: {100 * result['difference']:+.1f} %, McNemar p = {result['p_value']:.3g}")
    print(f"{out / 'report.json'}, {out / 'episodes.jsonl'}; open {out / 'index.html'} in a browser")


def time_single(policy: BatchedPolicy, samples: list[tuple[Arrays, int]]) -> dict[str, Any]:
    """Milliseconds of ``act`` on one (observation, noise seed) at a time; ``cpu_share``: processor over wall time."""
    if not samples:
        return {**quantiles([]), "n": 0, "cpu_share": 1.0}
    spent, computed = [], 0.0
    for i in range(WARM_UP + TIMED):
        observation, seed = samples[i % len(samples)]
        one = stack([observation])
        began, worked = time.perf_counter(), time.process_time()
        policy.call(one, np.array([seed], np.int64))
        computed += 1000 * (time.process_time() - worked)
        spent.append(1000 * (time.perf_counter() - began))
    return {**quantiles(spent[WARM_UP:]), "n": TIMED, "cpu_share": round(computed / max(sum(spent), 1e-9), 2)}


def crowded(cpu_share: float, device: str) -> list[str]:
    """A note for the report where other programs slowed the policy down, so that its times say little."""
    if device != "cpu" or cpu_share >= 0.8:
        return []
    return [f"the machine was busy: the policy got {100 * cpu_share:.0f} % of a core, so its times are too long"]
