"""Rolls a checkpoint out under fixed delays, with and without continuing the actions under way, on the same starts.

``python -m research.realtime.measure checkpoint=shipped task=place_can episodes=200 out=eval/reports/realtime``
"""

import json
import sys
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from worldmodel.config import option
from worldmodel.devices import use_threads
from worldmodel.evaluate.evaluate import check_delay, simulator_of
from worldmodel.evaluate.initial_states import Starts, find
from worldmodel.evaluate.run import machine
from worldmodel.files import out_folder, write_json
from worldmodel.policies.load import LoadedPolicy, PolicyOptions, load_policy
from worldmodel.policies.model_policy import ModelPolicy
from worldmodel.processes import Pool
from worldmodel.report.stats import mean_interval, paired, wilson
from worldmodel.rollout.loop import BatchedRollout, EpisodeResult
from worldmodel.rollout.policy import BatchedPolicy
from worldmodel.settings import load
from worldmodel.sims.make import slots_of

WORKERS = 2


@dataclass(frozen=True)
class RealtimeConfig:
    """Which checkpoint, which delays, where to."""

    out: str = option("folder of report.json; a report that is there keeps its other checkpoints", "outputs/realtime")
    checkpoint: str = option("shipped, or the folder of a training run or model", "shipped")
    name: str = option("of the checkpoint in the report", "shipped")
    task: str = option("lift_can, place_can or place_can_anywhere", "place_can")
    delays: tuple[int, ...] = option("control steps from an observation until its chunk is there", (0, 2, 4, 8))
    episodes: int = option("validation starts", 200)
    n_action_steps: int = option("actions executed of each chunk before replanning", 8)
    force: bool = option("let a model continue actions that was not trained to", False)
    batch: int = option("simulators in all", 16)


@dataclass(frozen=True)
class DelayResult:
    """One delay on every start, in order. jerk: mean absolute third difference of the targets x, y, z, mm."""

    success: list[bool]
    jerk: list[float]
    steps: list[int]


def jerk(actions: np.ndarray) -> float:
    """Mean absolute third difference of the executed targets x, y, z, float (T, A), in millimetres (a step)^-3."""
    return float(1000 * np.abs(np.diff(actions[:, :3], n=3, axis=0)).mean()) if len(actions) > 3 else 0.0


def measure(config: RealtimeConfig, loaded: LoadedPolicy, delay: int, continues: bool) -> DelayResult:
    """Every start once under ``delay``; ``continues``: whether chunks are given the actions under way."""
    starts = Starts.load(find("validation", config.task)).first(config.episodes)
    found: dict[int, EpisodeResult] = {}
    with Pool(slots_of(simulator_of(loaded, config.task)), config.batch, WORKERS) as simulators:
        rollout = BatchedRollout(
            BatchedPolicy(loaded.policy, config.batch), simulators, config.n_action_steps, delay=delay
        )
        rollout.continues = continues and delay > 0
        rollout.run(starts, lambda result: found.update({result.start.index: result}))
    ended = [found[start.index] for start in starts]
    jerks = [jerk(one.actions) for one in ended]
    return DelayResult([one.success for one in ended], jerks, [one.steps for one in ended])


def row(result: DelayResult, base: DelayResult) -> dict[str, Any]:
    """One row of the report, beside that without delay."""
    wins, n = sum(result.success), len(result.success)
    gap = paired(result.success, base.success)
    mean, interval = mean_interval(result.jerk)
    more = mean_interval([mine - theirs for mine, theirs in zip(result.jerk, base.jerk, strict=True)])
    return {
        "n": n,
        "successes": wins,
        "success_rate": wins / n,
        "interval": wilson(wins, n),
        "against_no_delay": {**asdict(gap)},
        "jerk_mm": mean,
        "jerk_interval": interval,
        "jerk_above_no_delay": more[0],
        "jerk_above_interval": more[1],
        "mean_steps": float(np.mean(result.steps)),
    }


def main(words: list[str]) -> int:
    config = load("realtime", RealtimeConfig, words)
    use_threads(0)
    loaded = load_policy(config.checkpoint, config.task, PolicyOptions(config.n_action_steps))
    policy = loaded.policy
    assert isinstance(policy, ModelPolicy)
    trained = policy.prefix
    if config.force:
        policy.prefix = policy.chunk_size
        policy.model.config = replace(policy.model.config, prefix=policy.chunk_size)
    base = measure(config, loaded, 0, False)
    rows = [{"delay": 0, "continues": False, **row(base, base)}]
    for delay in [delay for delay in config.delays if delay]:
        check_delay(delay, config.n_action_steps, policy.chunk_size)
        for continues in (False, *([True] if delay <= policy.prefix else [])):
            rows.append(
                {"delay": delay, "continues": continues, **row(measure(config, loaded, delay, continues), base)}
            )
            print(rows[-1], flush=True)
    path = out_folder(config.out) / "report.json"
    report: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {"checkpoints": {}}
    report["jerk"] = "mean absolute third difference of the executed targets x, y, z, in mm per control step cubed"
    report["checkpoints"][config.name] = {
        "command": " ".join(["python -m research.realtime.measure", *words]),
        "task": config.task,
        "starts": "validation",
        "n_action_steps": config.n_action_steps,
        "trained_prefix": trained,
        "weights": loaded.sha256,
        "machine": machine(),
        "rows": rows,
    }
    write_json(path, report)
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
