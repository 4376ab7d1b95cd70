"""Runs one of our servers under another environment's Python, which then has this package beside its own, and no more.

``python -I boot.py SERVER FD``: what ``make`` of the module ``worldmodel.sims.SERVER`` makes answers on the connected
socket FD, which it inherits, and ends with the other side. Nothing of ours lands on ``sys.path``: what the server
imports besides is what its environment has.
"""

import importlib
import importlib.util
import logging
import os
import select
import socket
import sys
import threading
from pathlib import Path


def only(package: str, folder: Path) -> None:
    """Make ``package``, which lies in ``folder``, importable without what lies beside it."""
    inside, where = folder / "__init__.py", [str(folder)]
    spec = importlib.util.spec_from_file_location(package, inside, submodule_search_locations=where)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[package] = module
    spec.loader.exec_module(module)


def end_with(connection: socket.socket) -> None:
    """End this process as soon as the other side is gone, busy as it may be: importing takes a minute at worst."""

    def wait() -> None:
        hang_up = select.poll()
        hang_up.register(connection, 0)  # nothing but hanging up, which needs no asking for
        hang_up.poll()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    wire = socket.socket(fileno=int(sys.argv[2]))
    end_with(wire)
    only("worldmodel", Path(__file__).resolve().parents[2])
    os.environ.setdefault("MUJOCO_GL", "egl")
    os.environ.setdefault("LP_NUM_THREADS", "0")
    logging.disable(logging.WARNING)  # robosuite warns five times per reset about parts that a Panda does not have
    sys.stdout = sys.stderr
    make = importlib.import_module(f"worldmodel.sims.{sys.argv[1]}").make
    importlib.import_module("worldmodel.sims.remote.wire").serve(wire, make)
