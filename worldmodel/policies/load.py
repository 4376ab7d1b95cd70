"""Policies by name: a checkpoint of ours, any policy that LeRobot loads, or a Python file; and what each observes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from worldmodel import checkpoint
from worldmodel.config import UserError
from worldmodel.devices import choose_device
from worldmodel.policies import lerobot_folder, python_policy
from worldmodel.policies.fast import fast_act
from worldmodel.policies.model_policy import ModelPolicy
from worldmodel.schema import LEROBOT, Policy
from worldmodel.sims.gymnasium.name import without_rule

PYTHON, STEPS = "python:", 2


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy ready to act. ``name``: as the user wrote it; ``sha256``: of its weights.

    history: past control steps needed, by observation key. n_obs_steps: observations in a row; above 1, arrays gain an
    axis for them. action_dim, state_dim: sizes of actions and states; 0 where unknown. runtime: what computes actions.
    task: that of its training, where success rule or time limit are another one.
    """

    policy: Policy
    name: str
    sha256: str
    cameras: tuple[str, ...] = ("scene", "wrist")
    size: int = 96
    device: str = "cpu"
    history: Mapping[str, int] = field(default_factory=dict)
    n_obs_steps: int = 1
    action_dim: int = 0
    state_dim: int = 0
    runtime: str = "torch"
    task: str = ""


@dataclass(frozen=True)
class PolicyOptions:
    """n_action_steps: actions executed of each chunk. steps: sampling steps, None for the policy's own.

    instruction: a sentence, None for the task's own. must_act: refuse a model that was not trained to act.
    fast: act with ONNX Runtime on a processor, where that can be (see `worldmodel.policies.fast`).
    """

    n_action_steps: int
    steps: int | None = None
    device: str = "auto"
    instruction: str | None = None
    must_act: bool = True
    fast: bool = True


def load_policy(name: str, task: str, options: PolicyOptions) -> LoadedPolicy:
    """The policy of a checkpoint (``shipped``, a model or run folder), ``lerobot:FOLDER`` or ``python:FILE.py:NAME``.

    Raises UserError or CheckpointError, one line, where there is none, or it cannot act on this task.
    """
    if name.startswith(PYTHON):
        return _from_python(name, task, options)
    return _from_lerobot(name, task, options) if name.startswith(LEROBOT) else _from_checkpoint(name, task, options)


def _check_steps(name: str, options: PolicyOptions, chunk_size: int) -> None:
    if not 1 <= (steps := options.n_action_steps) <= chunk_size:
        raise UserError(f"n_action_steps={steps}: {name} gives {chunk_size} actions at a time; use fewer")


def _from_checkpoint(name: str, task: str, options: PolicyOptions) -> LoadedPolicy:
    device = choose_device(options.device)
    try:
        model, card = checkpoint.load(name), checkpoint.card(name)
    except FileNotFoundError:
        raise UserError(f"checkpoint={name}: none is installed; train one and give its folder as checkpoint=") from None
    shape = model.config
    trained = next((known for known in shape.tasks if without_rule(known) == without_rule(task)), "")
    if task in shape.tasks:
        trained = task
    if not trained:
        raise UserError(f"task={task}: checkpoint {name} was trained for {', '.join(shape.tasks)}")
    _check_steps(name, options, shape.chunk_size)
    modes = checkpoint.trained_modes(name)
    if options.must_act and modes is not None and not {"policy", "joint"} & set(modes):
        raise UserError(f"checkpoint={name}: not trained to act (modes.policy=0); it was for: {', '.join(modes)}")
    steps = STEPS if options.steps is None else options.steps
    fast = fast_act(model, steps, device) if options.fast else None
    said = options.instruction
    policy = ModelPolicy(model, trained, options.n_action_steps, steps, device=device, sentence=said)
    policy.fast = fast
    seen = (str(card["sha256"]), tuple(shape.cameras), shape.size, device, policy.history, 1)
    other, runtime = "" if trained == task else trained, "torch" if fast is None else "onnxruntime"
    return LoadedPolicy(policy, name, *seen, shape.action_dim, shape.state_dim, runtime, other)


def _from_lerobot(name: str, task: str, options: PolicyOptions) -> LoadedPolicy:
    """Its instruction defaults to the task's name, which data sets made from our stores hold."""
    folder = lerobot_folder.resolve(name.removeprefix(LEROBOT))
    lerobot_folder.check_folder(folder)
    from worldmodel.policies import lerobot_policy as lerobot  # ten seconds, and an extra

    if options.steps is not None:
        raise UserError(f"steps={options.steps}: how {name} samples is in its own config.json; leave steps out")
    policy = lerobot.LeRobotPolicy(folder, options.instruction or task, choose_device(options.device))
    if unknown := [camera for camera in policy.cameras if camera not in ("scene", "wrist")]:
        raise UserError(f"{name} needs camera {unknown[0]!r}; this task has scene and wrist")
    _check_steps(name, options, policy.chunk_size)
    shown = (policy.cameras, policy.size, policy.device.type)
    return LoadedPolicy(policy, name, lerobot.sha256(folder), *shown, n_obs_steps=policy.n_obs_steps)


def _from_python(name: str, task: str, options: PolicyOptions) -> LoadedPolicy:
    """Attributes ``cameras``, ``size``, ``history`` and ``n_obs_steps`` of the policy choose what it observes."""
    policy, sha256 = python_policy.load(name.removeprefix(PYTHON), task)
    _check_steps(name, options, policy.chunk_size)
    if options.steps is not None or options.instruction is not None:
        raise UserError(f"{name}: a Python policy has neither steps= nor instruction=; leave them out")
    chosen = {key: getattr(policy, key) for key in ("size", "history", "n_obs_steps") if hasattr(policy, key)}
    return LoadedPolicy(policy, name, sha256, tuple(getattr(policy, "cameras", ())), **chosen)
