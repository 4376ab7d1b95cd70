"""Who sits the exam: a checkpoint made into a policy, with what it must be shown and what identifies it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from worldmodel.config import UserError, closest
from worldmodel.schema import LEROBOT, Policy

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Candidate:
    """A policy to be examined. ``name`` is what the user called it, ``sha256`` the hash of its weights.

    hears: control steps of sound that it must be shown, 0 for a policy without ears.
    looks: how many observations in a row it must be shown; with more than one, arrays gain an axis for them.
    acts, feels: how many numbers an action of it has, and a state that it reads; 0 where nobody knows.
    """

    policy: Policy
    name: str
    sha256: str
    cameras: tuple[str, ...] = ("scene", "wrist")
    size: int = 96
    device: str = "cpu"
    hears: int = 0
    looks: int = 1
    acts: int = 0
    feels: int = 0


def use_threads(count: int) -> int:
    """Let the policy compute with ``count`` threads, 0 for half of the cores; returns how many that is.

    Not with all of them: where anything else wants a core, threads wait for one another at every operation, and a
    chunk that one thread makes in 11 ms took three seconds with two (measured on two cores under load).
    """
    import torch

    count = count or max(1, cores() // 2)
    torch.set_num_threads(count)
    return count


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def open_candidate(
    name: str,
    task: str,
    execute: int,
    steps: int | None = None,
    device: str = "auto",
    instruction: str | None = None,
    must_act: bool = True,
) -> Candidate:
    """The policy of a checkpoint (``shipped``, a model folder or a training run's). ValueError, one line, if none.

    instruction: what a model that reads is told; None takes the task's own sentence. must_act: one that never learned
    what to do is refused.
    """
    from worldmodel import checkpoint  # here: the simulators' processes import this package too, without torch
    from worldmodel.policies import ModelPolicy

    device = choose_device(device)
    try:
        model, card = checkpoint.load(name), checkpoint.card(name)
    except FileNotFoundError:
        raise UserError(f"checkpoint={name}: none is installed; train one and give its folder as checkpoint=") from None
    if task not in model.config.tasks:
        raise UserError(f"task={task}: checkpoint {name} was trained for {', '.join(model.config.tasks)}")
    if not 1 <= execute <= model.config.horizon:
        raise UserError(
            f"execute={execute}: the chunk of checkpoint {name} has {model.config.horizon} steps; use fewer"
        )
    taught = checkpoint.taught(name)
    if must_act and taught is not None and not {"policy", "joint"} & set(taught):
        able = ", ".join(taught)
        raise UserError(f"checkpoint={name}: it was not trained to act (modes.policy=0); it was for: {able}")
    options = {} if steps is None else {"steps": steps}
    policy = ModelPolicy(model, task=task, execute=execute, device=device, sentence=instruction, **options)
    cameras, size = tuple(model.config.cameras), model.config.size
    widths = {"acts": model.config.action_dim, "feels": model.config.state_dim}
    return Candidate(policy, name, str(card["sha256"]), cameras, size, device, policy.hears, **widths)


def open_lerobot(
    name: str, task: str, execute: int, steps: int | None = None, device: str = "auto", instruction: str | None = None
) -> Candidate:
    """Any policy that LeRobot loads, by ``lerobot:FOLDER``. UserError, one line, where it cannot sit our exam.

    It is told ``instruction``, or the task's name, which is what data sets made from our stores say.
    """
    from worldmodel.policies import lerobot_policy as lerobot  # ten seconds, and an extra

    folder = lerobot.resolve(name.removeprefix(LEROBOT))
    if steps is not None:
        raise UserError(f"steps={steps}: how {name} samples is in its own config.json; leave steps out")
    policy = lerobot.LeRobotPolicy(folder, instruction or task, choose_device(device))
    if unknown := [camera for camera in policy.cameras if camera not in ("scene", "wrist")]:
        raise UserError(f"{name} needs camera {unknown[0]!r}; this task has scene and wrist")
    if not 1 <= execute <= policy.horizon:
        raise UserError(f"execute={execute}: {name} gives {policy.horizon} actions at a time; use fewer")
    weights = lerobot.sha256(folder)
    return Candidate(policy, name, weights, policy.cameras, policy.size, policy.device.type, looks=policy.looks)


def choose_device(device: str) -> str:
    """``cpu`` or ``cuda``, for ``auto`` whichever is there. UserError, one line, for anything else."""
    import torch

    if device not in DEVICES:
        raise UserError(f"device={device}: no such device; {closest(device, DEVICES)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda: no CUDA device is visible here; use device=cpu")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device
