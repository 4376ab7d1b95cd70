"""Serve and play for a long time, with good clients and bad ones: memory must not grow, and no good client may wait.

``python -m research.reliability.soak minutes=30 out=eval/reports/reliability/soak.json``
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import connect

from research.reliability.serving import (
    ServedProcess,
    bad_messages,
    bad_page_messages,
    good_request,
    observation,
    open_page,
    page_header,
    report,
    running,
    until,
)
from worldmodel.client import Client, ServerError
from worldmodel.config import option
from worldmodel.settings import load

GROWTH, STALL = 0.02, 2.0
"""Bars: share by which memory may grow, and seconds that a good client may wait."""
WARM = 0.2
"""Share of the time after which memory is measured first: by then every path has been walked."""
BREAK = 3.0
"""Seconds between two connections of a bad client: a page of play is given a simulator of its own each time."""


@dataclass(frozen=True)
class SoakConfig:
    """How long, what is served, and where the result goes."""

    out: str = option("file of the result", "outputs/soak.json")
    minutes: float = option("how long", 30.0)
    checkpoint: str = option("what is served", "shipped")
    size: int = option("edge of its frames", 96)
    play: bool = option("whether a page of play is there too", True)


@dataclass
class ClientLog:
    """What clients of one kind met: replies, errors that should not be, and the longest wait in seconds."""

    replies: int = 0
    errors: int = 0
    longest: float = 0.0
    notes: list[str] = field(default_factory=list)

    def waited(self, seconds: float) -> None:
        self.replies, self.longest = self.replies + 1, max(self.longest, seconds)

    def failed(self, error: object) -> None:
        self.errors += 1
        self.notes = [*self.notes, " ".join(str(error).split())[:200]][:10]


def good_robot(address: str, seconds: float, size: int, log: ClientLog) -> None:
    """A chunk every 0.4 s, as a robot at 20 Hz wants it; an episode every 30 of them."""
    with Client(address) as client:
        for number, _ in enumerate(until(seconds), 1):
            try:
                began = time.monotonic()
                client.act(observation(number % 7, size))
                log.waited(time.monotonic() - began)
                if number % 30 == 0:
                    client.reset(success=True)
            except ServerError as error:
                log.failed(error)
            time.sleep(max(0.0, 0.4 - (time.monotonic() - began)))


def bad_robot(address: str, seconds: float, log: ClientLog, deaf: bool = False) -> None:
    """Malformed messages in a flood; ``deaf``: good ones in a flood, and no reply is ever read."""
    messages, good = bad_messages(1, good_request()), good_request()
    end = time.monotonic() + seconds
    for _ in until(seconds):
        try:
            with connect(address, compression=None, max_size=None, max_queue=1, close_timeout=1) as wire:
                stop = min(end, time.monotonic() + 30)
                while time.monotonic() < stop:
                    wire.send(good if deaf else next(messages))
                    log.replies += 1
                    if not deaf:
                        word = wire.recv(10)
                        if isinstance(word, str) and ("Traceback" in word or "\n" in word):
                            log.failed(word)
                        time.sleep(0.05)  # as fast as it is answered would only take the processor from the others
        except (OSError, WebSocketException):
            pass
        time.sleep(BREAK)


def good_page(host: str, seconds: float, log: ClientLog) -> None:
    """Drives in play, and notes the longest time between two frames while the clock runs."""
    with open_page(host) as page:
        last = None
        for number, _ in enumerate(until(seconds)):
            word = page.recv(60)
            if isinstance(word, str):
                log.errors += "Traceback" in word
                continue
            header, now = page_header(word), time.monotonic()
            page.send(f'{{"type": "seen", "tick": {header["tick"]}}}')
            if header["paused"]:  # as a session begins
                page.send('{"type": "pause", "on": false}')
            elif last is not None:
                log.waited(now - last)
            last = None if header["paused"] else now
            if number % 10 == 0:
                page.send(f'{{"type": "drive", "move": [0, {0.3 * np.sin(number / 50):.3f}, 0], "grip": false}}')


def bad_page(host: str, seconds: float, log: ClientLog) -> None:
    """Malformed messages for play, reconnecting when it is shown out."""
    messages = bad_page_messages(2)
    end = time.monotonic() + seconds
    for _ in until(seconds):
        try:
            with open_page(host) as page:
                stop = min(end, time.monotonic() + 120)
                while time.monotonic() < stop:
                    page.send(next(messages))
                    log.replies += 1
                    time.sleep(0.2)
        except (OSError, WebSocketException):
            pass
        time.sleep(10 * BREAK)


class MemoryLog:
    """Resident memory of a process, in MB, sampled."""

    def __init__(self, served: ServedProcess) -> None:
        self.process, self.samples = psutil.Process(served.process.pid), list[float]()

    def sample(self) -> None:
        self.samples.append(self.process.memory_info().rss / 2**20)

    def result(self) -> dict[str, float]:
        """Medians of the first and the last tenth after warming up, and the growth between them as a share."""
        warm = self.samples[int(WARM * len(self.samples)) :]
        part = max(1, len(warm) // 10)
        first, last = float(np.median(warm[:part])), float(np.median(warm[-part:]))
        return {"first_mb": round(first, 1), "last_mb": round(last, 1), "growth": round(last / first - 1, 4)}


def soak(config: SoakConfig, folder: Path) -> dict[str, Any]:
    """Run everything, and what became of it."""
    seconds = 60 * config.minutes
    given = ("port=0", f"checkpoint={config.checkpoint}")
    logs = {name: ClientLog() for name in ("robots", "malformed", "deaf", "page", "bad_page")}
    with running(folder / "serve.err", "serve", *given, f"record={folder / 'store'}") as served:
        work: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
            (good_robot, (served.address, seconds, config.size, logs["robots"])),
            (good_robot, (served.address, seconds, config.size, logs["robots"])),
            (bad_robot, (served.address, seconds, logs["malformed"])),
            (bad_robot, (served.address, seconds, logs["deaf"], True)),
        ]
        if not config.play:
            found = _run(work, {"serve": served}, seconds)
        else:
            with running(folder / "play.err", "play", *given, f"out={folder / 'clips'}", "seats=4") as played:
                work += [
                    (good_page, (played.host, seconds, logs["page"])),
                    (bad_page, (played.host, seconds, logs["bad_page"])),
                ]
                found = _run(work, {"serve": served, "play": played}, seconds)
    clients = {name: {"replies": log.replies, "errors": log.errors} for name, log in logs.items()}
    stall = {name: round(logs[name].longest, 3) for name in ("robots", "page")}
    notes = [note for log in logs.values() for note in log.notes]
    return (
        {"n": logs["robots"].replies + logs["page"].replies, "longest_stall_s": stall, "clients": clients}
        | found
        | {"notes": notes}
    )


def _run(work: list[Any], processes: dict[str, ServedProcess], seconds: float) -> dict[str, Any]:
    ended: list[str] = []

    def guarded(call: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        try:
            call(*arguments)
        except (OSError, RuntimeError, ConnectionClosed) as error:
            ended.append(f"{call.__name__}: {' '.join(str(error).split())[:200]}")

    threads = [threading.Thread(target=guarded, args=each) for each in work]
    memory = {name: MemoryLog(served) for name, served in processes.items()}
    for thread in threads:
        thread.start()
    for left in until(seconds):
        for log in memory.values():
            log.sample()
        time.sleep(min(left, max(0.2, seconds / 400)))
    for thread in threads:
        thread.join(90)
    result = {name: log.result() for name, log in memory.items()}
    exits = {name: served.stop() for name, served in processes.items()}
    tracebacks = {name: served.tracebacks for name, served in processes.items()}
    return {"memory": result, "exit_codes": exits, "tracebacks": tracebacks, "clients_that_ended": ended}


def failures_of(found: dict[str, Any]) -> int:
    """How many bars are broken."""
    broken = [one["growth"] > GROWTH for one in found["memory"].values()]
    broken += [seconds > STALL for seconds in found["longest_stall_s"].values()]
    broken += [one["errors"] > 0 for one in found["clients"].values()]
    broken += [code != 0 for code in found["exit_codes"].values()]
    broken += [count > 0 for count in found["tracebacks"].values()]
    return sum(broken) + len(found["clients_that_ended"])


def main(words: list[str]) -> int:
    config = load("soak", SoakConfig, words)
    with tempfile.TemporaryDirectory() as folder:
        found = soak(config, Path(folder))
    return report(config.out, "soak", words, {"minutes": config.minutes, **found}, failures_of(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
