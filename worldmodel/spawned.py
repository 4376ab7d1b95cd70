"""What our spawned processes need: an environment set before their first import, and an end when their parent ends."""

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


def end_with_parent() -> None:
    """Called in a child: end it as soon as its parent is gone, however that went."""

    def wait() -> None:
        parent = mp.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
