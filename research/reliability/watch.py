"""One trial under watch: errors that are not ours, time, programs started, files written outside, secrets shown."""

import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from worldmodel.config import UserError

SECONDS = 5
"""A trial that takes more of a processor hangs. Not of a clock: the machine may be busy."""
PROGRAMS = (
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "subprocess.Popen", "pty.spawn",
    "pickle.find_class", "socket.connect",
)  # fmt: skip
CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.symlink", "os.link", "os.truncate", "shutil.rmtree")
SECRET = "TOP-SECRET-0123456789"


class Watch:
    """Listens to the interpreter's audit events during a trial; made once (an audit hook stays for good)."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.on = str(folder.resolve()), False
        self.found: list[str] = []
        os.environ["SECRET"] = SECRET
        sys.addaudithook(self._hear)

    def trial(self, call: Callable[[], Any]) -> tuple[str, str]:
        """The outcome (accepted or refused), and a problem, or nothing."""
        self.found, outcome, problem, said = [], "accepted", "", io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), _hurried():
            self.on = True
            try:
                text = str(call())
            except (UserError, ValueError) as error:
                outcome, text = "refused", str(error)
                problem = "" if text else "says nothing"
            except _Hang:
                problem, text = f"hangs for {SECONDS} s", ""
            except BaseException as error:  # noqa: BLE001  that is what is looked for
                problem, text = f"{type(error).__name__}: {' '.join(str(error).split())[:150]}", ""
            finally:
                self.on = False
        if SECRET in text + said.getvalue():
            problem = "shows the secret"
        return outcome, "; ".join([*filter(None, [problem]), *self.found[:2]])

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in PROGRAMS:
            self.found.append(f"{event} {str(arguments)[:80]}")
        elif event in CHANGES or (event == "open" and _writes(*arguments)):
            path = arguments[0] if isinstance(arguments[0], str | bytes | os.PathLike) else ""
            where = os.path.realpath(os.fsdecode(path))
            if not where.startswith((self.folder, "/dev/null")) and not where.endswith(".pyc"):
                self.found.append(f"{event} {where}")


class _Hang(BaseException):
    """A trial took too long."""


def _writes(path: Any, mode: Any, flags: Any) -> bool:
    """Whether a file is opened for writing; a number is one that is open already."""
    writing = bool(mode and set("wax+") & set(mode)) or bool(flags & (os.O_WRONLY | os.O_RDWR))
    return writing and isinstance(path, str | bytes)


@contextlib.contextmanager
def _hurried() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise _Hang

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
