"""What our processes need: an environment set before a child imports, an end with the parent, fair scheduling."""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import os
import threading
from collections.abc import Iterator

ISOLATED = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "LP_NUM_THREADS": "0"}
"""Environment of a process that renders: no CUDA beside EGL (it crashes), no threads beyond its own core."""


@contextlib.contextmanager
def isolated() -> Iterator[None]:
    """Set ``ISOLATED`` for processes started inside: a spawned child reads it before its first import."""
    before = {name: os.environ.get(name) for name in ISOLATED}
    os.environ.update(ISOLATED)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def fair() -> Iterator[None]:
    """Undo what is done inside to the scheduling of this process.

    SVT-AV1, LeRobot's default video encoder, puts the thread that calls it on real-time scheduling where it may (root)
    and leaves it there. Every thread and process started later inherits that, and two busy ones starve all others.
    """
    ordinary = hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) == os.SCHED_OTHER
    try:
        yield
    finally:
        if ordinary:
            for thread in os.listdir("/proc/self/task"):  # noqa: PTH208  (names, not paths)
                with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                    if os.sched_getscheduler(int(thread)) in (os.SCHED_FIFO, os.SCHED_RR):
                        os.sched_setscheduler(int(thread), os.SCHED_OTHER, os.sched_param(0))


def end_with_parent() -> None:
    """Called in a child: end it as soon as its parent is gone, however that went."""

    def wait() -> None:
        parent = mp.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
