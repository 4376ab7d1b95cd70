"""What this machine computes with: the device and the threads of a policy."""

import os

from worldmodel.config import UserError, closest

DEVICES = ("auto", "cpu", "cuda")


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_threads(count: int) -> int:
    """Let torch compute with ``count`` threads, 0 for half of the cores; returns how many that is.

    Not all: where anything else wants a core, threads wait for one another at every operation, and a chunk that one
    thread makes in 11 ms took three seconds with two (measured on two cores under load).
    """
    import torch  # here: simulators' processes count cores, and need no torch

    if not 0 <= count <= 256:
        raise UserError(f"threads={count}: expected 1 to 256, or 0 for half of the cores")
    count = count or max(1, cores() // 2)
    torch.set_num_threads(count)
    return count


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
