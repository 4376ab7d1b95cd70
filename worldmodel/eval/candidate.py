"""Who sits the exam: a checkpoint made into a policy, with what it must be shown and what identifies it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from worldmodel.config import UserError, closest
from worldmodel.experience import Policy

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Candidate:
    """A policy to be examined. ``name`` is what the user called it, ``sha256`` the hash of its weights.

    hears: control steps of sound that it must be shown, 0 for a policy without ears.
    """

    policy: Policy
    name: str
    sha256: str
    cameras: tuple[str, ...] = ("scene", "wrist")
    size: int = 96
    device: str = "cpu"
    hears: int = 0


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
) -> Candidate:
    """The policy of a checkpoint (``shipped``, a model folder or a training run's). ValueError, one line, if none.

    instruction: what a model that reads is told; None takes the task's own sentence.
    """
    import torch  # here: the simulators' processes import this package too, and have no use for it

    from worldmodel import checkpoint
    from worldmodel.policies import ModelPolicy

    if device not in DEVICES:
        raise UserError(f"device={device}: no such device; {closest(device, DEVICES)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda: no CUDA device is visible here; use device=cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
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
    options = {} if steps is None else {"steps": steps}
    policy = ModelPolicy(model, task=task, execute=execute, device=device, sentence=instruction, **options)
    cameras, size = tuple(model.config.cameras), model.config.size
    return Candidate(policy, name, str(card["sha256"]), cameras, size, device, policy.hears)
