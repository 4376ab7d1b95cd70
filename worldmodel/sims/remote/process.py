"""The client's side of the wire: a simulator's server in an environment of its own, as a child process of ours."""

import contextlib
import os
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.config import UserError
from worldmodel.processes import ISOLATED
from worldmodel.sims.remote import boot, wire

DONE = "worldmodel.json"  # Written last, with what was installed: an environment without it is made again


def home(name: str) -> Path:
    """Folder of a simulator's environment: ``$WORLDMODEL_ENVS/<name>``, else in the user's cache."""
    if chosen := os.environ.get("WORLDMODEL_ENVS"):
        return Path(chosen) / name
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "worldmodel" / "envs" / name


def python_of(name: str) -> Path:
    """The Python that runs a simulator. UserError, with the command to type, where it is not installed."""
    folder = home(name)
    if not (folder / DONE).exists():
        raise UserError(f"{name} is not installed in {folder}; run `worldmodel env install {name}`")
    return python_in(folder)


def python_in(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


class ServerProcess:
    """A server as a child with which we share one socket pair: nothing listens, no one else can connect."""

    def __init__(self, name: str, python: Path, seconds: float) -> None:
        """``name``: the simulator, whose server is ``sims/<name>/server.py``; ``seconds``: how long a call may take."""
        self.name = name
        self.wire, theirs = socket.socketpair()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  closed with the child; an unread pipe would fill
        command = [str(python), "-I", boot.__file__, f"{name}.server", str(theirs.fileno())]
        with theirs:
            self.child = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **ISOLATED},
                stdout=self._said,
                stderr=subprocess.STDOUT,
            )
        self.wire.settimeout(seconds)

    def call(self, call: str, header: Any = None, arrays: Any = None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """One question and its answer. UserError with one line where the simulator refuses, breaks or falls silent."""
        try:
            wire.send(self.wire, {"call": call, **(header or {})}, arrays)
            result, found = wire.receive(self.wire)
        except (OSError, EOFError, wire.WireError) as error:
            self.close()
            self._said.seek(0)
            said = self._said.read().decode(errors="replace").strip() or str(error) or type(error).__name__
            raise UserError(f"{self.name}'s process ended at {call!r}: {said.splitlines()[-1]}") from None
        if "error" in result:
            raise UserError(f"{self.name} refused {call!r}: {result['error']}")
        return result, found

    def close(self) -> None:
        self.wire.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.wait(2)
        self.child.kill()
        self.child.wait()
