"""The command `evaluate`: roll a checkpoint out closed loop on fixed initial states."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worldmodel.config import UserError
from worldmodel.devices import use_threads
from worldmodel.evaluate.config import EvaluateConfig
from worldmodel.evaluate.initial_states import SPLITS, Starts, StartsError, find, is_shipped
from worldmodel.evaluate.run import EvalRun, run
from worldmodel.evaluate.starts import SPLIT_SEEDS, StartsConfig
from worldmodel.evaluate.starts import starts as draw_starts
from worldmodel.files import locked, out_folder
from worldmodel.policies.load import LoadedPolicy, PolicyOptions, load_policy
from worldmodel.sims.base import EnvInfo, SimulatorSpec
from worldmodel.sims.make import check, describe, in_process

VERSIONS = {"mujoco": "MuJoCo", "made_by": "", "gl": "GL", "gymnasium": "Gymnasium", "robosuite": "robosuite"}
"""What may differ between the freezing of starts and their use; the report lists it."""


def evaluate(config: EvaluateConfig, loaded: LoadedPolicy | None = None) -> int:
    """Evaluate a checkpoint; writes ``report.json``, ``episodes.jsonl`` and ``index.html``. 130 where interrupted.

    loaded: a policy to evaluate in place of ``config.checkpoint``.
    """
    check(SimulatorSpec(config.task, perturb=config.perturb))
    use_threads(config.threads)
    path, starts = starts_for(config)
    if loaded is None:
        options = PolicyOptions(config.n_action_steps, config.steps, config.device, config.instruction)
        loaded = load_policy(config.checkpoint, config.task, options)
    with locked(config.out):
        return run(settle(config, loaded, starts or drawn(config, path), path))


def starts_for(config: EvaluateConfig) -> tuple[Path, Starts | None]:
    """The file of starts that ``config`` names, read; where none is shipped, the file that `drawn` makes, and None."""
    if config.starts in SPLITS and not is_shipped(config.starts, config.task):
        return Path(config.out, f"{config.starts}.npz"), None
    path = find(config.starts, config.task)
    return path, Starts.load(path)


def drawn(config: EvaluateConfig, path: Path) -> Starts:
    """Fixed initial states where none are shipped for the task: drawn by the same seeds each time, and kept."""
    if not path.exists():
        out_folder(config.out)
        print(f"no {config.starts} starts are shipped for {config.task}: {config.episodes} are drawn, into {path}")
        wanted = StartsConfig(str(path), config.task, config.episodes, SPLIT_SEEDS[config.starts])
        in_process(draw_starts, wanted, task=config.task)
    return Starts.load(path)


def settle(config: EvaluateConfig, loaded: LoadedPolicy, starts: Starts, path: Path) -> EvalRun:
    """Check that checkpoint, starts and simulator fit; UserError or ValueError, one line, where they do not."""
    if config.size not in (None, loaded.size):
        raise UserError(f"size={config.size}: checkpoint {loaded.name} sees {loaded.size} pixels; leave size out")
    if config.n_action_steps > loaded.policy.chunk_size:
        length = f"its chunk has {loaded.policy.chunk_size} steps"
        raise UserError(f"n_action_steps={config.n_action_steps}: {length}; use fewer")
    check_delay(config.delay, config.n_action_steps, loaded.policy.chunk_size)
    simulator = simulator_of(loaded, config.task, config.perturb)
    if starts.kind != check(simulator).starts:
        raise StartsError(f"starts are of kind {starts.kind!r}, which {config.task} does not have; freeze new ones")
    info, fingerprint = describe(simulator)
    check_widths(loaded, info)
    for line in info.lines:
        print(line, flush=True)
    starts.check(path, config.task, config.episodes, fingerprint["scene_sha256"])
    notes = [*bridged(config.delay, loaded), *other_versions(starts, fingerprint)]
    if loaded.task:
        notes.append(f"the policy was trained for {loaded.task}, whose success rule or time limit is another one")
    initial_states = starts.first(config.episodes)
    return EvalRun(config, loaded, starts, initial_states, simulator, fingerprint, notes, info.rate, info.task_summary)


def simulator_of(policy: LoadedPolicy, task: str, perturb: str = "none") -> SimulatorSpec:
    """The simulator of a task, with the observations that a policy needs."""
    needs: dict[str, Any] = {"history": policy.history, "n_obs_steps": policy.n_obs_steps}
    return SimulatorSpec(task, policy.cameras or None, policy.size, perturb, **needs)


def check_widths(policy: LoadedPolicy, info: EnvInfo) -> None:
    """UserError where a policy's actions or its state are of another width than the simulator's."""
    for kind, has, wanted in (
        ("gives {} numbers for an action", policy.action_dim, info.action_dim),
        ("reads a state of {} numbers", policy.state_dim, info.state_dim),
    ):
        if has not in (0, wanted):
            reason = f"task={info.task}: checkpoint {policy.name} {kind.format(has)}, expected {wanted}"
            raise UserError(f"{reason}; train on what `worldmodel collect task={info.task}` records")


def check_delay(delay: int, n_action_steps: int, chunk_size: int) -> None:
    """UserError where a chunk does not reach until the next is there, or is not there when the robot replans."""
    most = min(n_action_steps, chunk_size - n_action_steps)
    if not 0 <= delay <= most:
        raise UserError(
            f"delay={delay}: expected 0 to {most} control steps, at most n_action_steps={n_action_steps} and the "
            f"{chunk_size - n_action_steps} steps that a chunk of {chunk_size} reaches beyond them"
        )


def bridged(delay: int, loaded: LoadedPolicy) -> list[str]:
    """A note for the report on how a delay is bridged."""
    known = getattr(loaded.policy, "prefix", 0)
    if not delay:
        return []
    how = "continue the actions executed meanwhile"
    how = how if delay <= known else f"know nothing of it: trained to continue {known} actions"
    return [f"chunks are there {delay} steps late and {how}"]


def other_versions(starts: Starts, fingerprint: Mapping[str, Any]) -> list[str]:
    """Notes for the report on starts that were frozen under other versions."""
    then = starts.fingerprint
    return [
        " ".join(f"starts were frozen under {name} {then[key]} and rolled out under {fingerprint.get(key)}".split())
        for key, name in VERSIONS.items()
        if key in then and then[key] != fingerprint.get(key)
    ]
