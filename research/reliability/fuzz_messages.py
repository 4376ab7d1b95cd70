"""Malformed messages against a live server: every one is answered in one line, and a good client is served all along.

``python -m research.reliability.fuzz_messages messages=10000 out=eval/reports/reliability/fuzz_messages.json``
"""

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from research.reliability.serving import (
    bad_messages,
    bad_page_messages,
    good_request,
    observation,
    open_page,
    report,
    running,
)
from worldmodel.client import Client, ServerError
from worldmodel.config import UserError, option
from worldmodel.settings import load

HANG = 5.0
"""Seconds without a reply that count as a hang."""


@dataclass(frozen=True)
class FuzzConfig:
    """How many messages, for whom, and where the result goes."""

    out: str = option("file of the result", "outputs/fuzz_messages.json")
    messages: int = option("malformed messages", 10_000)
    target: str = option("serve or play", "serve")
    checkpoint: str = option("what is served", "shipped")
    size: int = option("edge of its frames", 96)
    seed: int = option("of the messages", 0)


def fuzz_serve(config: FuzzConfig, folder: Path) -> dict[str, Any]:
    """Counts of what came back, and of what must not: tracebacks, hangs, a good client refused, a server that died."""
    found = {
        "n": 0,
        "answered": 0,
        "refused": 0,
        "closed": 0,
        "tracebacks": 0,
        "hangs": 0,
        "good_refused": 0,
        "died": 0,
    }
    slowest = 0.0
    with running(folder / "err", "serve", "port=0", f"checkpoint={config.checkpoint}", "deadline=5") as served:
        wire = _open(served.address)
        with Client(served.address) as good:
            for message in bad_messages(config.seed, good_request()):
                if found["n"] == config.messages or served.process.poll() is not None:
                    break
                found["n"] += 1
                began = time.monotonic()
                try:
                    wire.send(message)
                    reply = wire.recv(HANG)
                    found["answered" if isinstance(reply, bytes) else "refused"] += 1
                    found["tracebacks"] += isinstance(reply, str) and ("Traceback" in reply or "\n" in reply)
                except TimeoutError:
                    found["hangs"] += 1
                    wire = _open(served.address)
                except ConnectionClosed:
                    found["closed"] += 1
                    wire = _open(served.address)
                slowest = max(slowest, time.monotonic() - began)
                if found["n"] % 100 == 0:
                    try:
                        good.act(observation(size=config.size))
                    except (ServerError, ConnectionError):
                        found["good_refused"] += 1
        wire.close()
        found["died"] = int(served.process.poll() is not None or served.stop() != 0)
        found["tracebacks"] += served.tracebacks
    return found | {"slowest_reply_s": round(slowest, 3)}


def fuzz_play(config: FuzzConfig, folder: Path) -> dict[str, Any]:
    """The same for a page of play, which is answered by a notice, by nothing, or by the end of its connection."""
    found = {"n": 0, "closed": 0, "tracebacks": 0, "hangs": 0, "died": 0}
    out = (f"out={folder / 'clips'}", f"checkpoint={config.checkpoint}")
    with running(folder / "err", "play", "port=0", *out) as served:
        messages, page = bad_page_messages(config.seed), None
        while found["n"] < config.messages and served.process.poll() is None:
            page = page or open_page(served.host)
            try:
                for message in messages:
                    found["n"] += 1
                    page.send(message)
                    time.sleep(1 / 55)  # the rate that a page may have
                    found["tracebacks"] += _drain(page)
                    if found["n"] >= config.messages:
                        break
            except ConnectionClosed:
                found["closed"], page = found["closed"] + 1, None
        page = page or open_page(served.host)
        page.send('{"type": "step"}')
        try:
            page.recv(HANG)
        except (TimeoutError, ConnectionClosed):
            found["hangs"] += 1
        page.close()
        found["died"] = int(served.process.poll() is not None or served.stop() != 0)
        found["tracebacks"] += served.tracebacks
    return found


def _drain(page: ClientConnection) -> int:
    """Take what has come; whether there was a traceback in it."""
    seen = 0
    try:
        while True:
            word = page.recv(0.0005)
            seen += isinstance(word, str) and "Traceback" in word
    except TimeoutError:
        return seen


def _open(address: str) -> ClientConnection:
    wire = connect(address, compression=None, max_size=None, open_timeout=20).__enter__()
    wire.recv(20)
    return wire


def main(words: list[str]) -> int:
    config = load("fuzz_messages", FuzzConfig, words)
    if config.target not in ("serve", "play"):
        raise UserError(f"target={config.target}: expected serve or play")
    with tempfile.TemporaryDirectory() as folder:
        found = (fuzz_serve if config.target == "serve" else fuzz_play)(config, Path(folder))
    failures = sum(found.get(kind, 0) for kind in ("tracebacks", "hangs", "good_refused", "died"))
    failures += found["n"] < config.messages
    return report(config.out, "fuzz_messages", words, {"target": config.target, **found}, failures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
