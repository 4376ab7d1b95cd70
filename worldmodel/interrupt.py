"""Ctrl-C and SIGTERM as a request, so that nothing is torn."""

import signal
import threading
from collections.abc import Callable
from typing import Any, Self


class StopSignal:
    """Turns the first Ctrl-C or SIGTERM into a request, so that nothing is torn; a second one acts at once."""

    def __init__(self) -> None:
        self.requested = False
        self.then: Callable[..., object] = lambda *_: None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
            self.requested = any(getattr(handler, "asked", False) for handler in self._before.values())
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, *arguments: Any) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        self.then(*arguments)


def check_interrupted() -> None:
    """KeyboardInterrupt where a Ctrl-C came while the command started, and a library swallowed it."""
    if getattr(signal.getsignal(signal.SIGINT), "asked", False):
        raise KeyboardInterrupt
