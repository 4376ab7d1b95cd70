"""The batches to come, made while the present one is learned from."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor

import torch


def ahead_of(device: torch.device) -> int:
    """How many batches are made ahead: 4 for a GPU, none where the processor that makes them is the one that learns."""
    return 4 if device.type == "cuda" else 0


def upcoming[Batch](draw: Callable[[int], Batch], first: int, last: int, ahead: int) -> Generator[Batch, None, None]:
    """``draw(first)`` to ``draw(last - 1)``, in order, up to ``ahead`` of them in the making, each in a thread.

    ``draw`` must depend on the step's number alone. An error in a thread is raised when its batch's turn comes.
    """
    if not ahead:
        yield from map(draw, range(first, last))
        return
    pool = ThreadPoolExecutor(ahead, "batches")
    try:
        waiting = deque(pool.submit(draw, step) for step in range(first, min(first + ahead, last)))
        for step in range(first, last):
            batch = waiting.popleft().result()
            if step + ahead < last:
                waiting.append(pool.submit(draw, step + ahead))
            yield batch
    finally:
        pool.shutdown(cancel_futures=True)
