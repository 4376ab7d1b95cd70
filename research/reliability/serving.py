"""Processes under test, and requests and messages for them, good and bad."""

from __future__ import annotations

import json
import os
import random
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from worldmodel.client import pack
from worldmodel.files import write_json

ROOT = Path(__file__).resolve().parents[2]


class ServedProcess:
    """A command of ours that prints its address first. ``errors``: the file of what it writes to standard error."""

    def __init__(self, errors: Path, command: str, *options: str) -> None:
        words = [sys.executable, "-m", "worldmodel.cli", command, *options]
        self.errors = errors
        environment = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
        with errors.open("a") as file:
            self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=file, text=True, env=environment)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if "://" not in line:
            raise RuntimeError(f"{command} did not start: {errors.read_text()[-500:]}")
        self.host = line.split("://")[1].split()[0].rstrip("/")
        self.address = f"ws://{self.host}"

    def stop(self, kill: bool = False) -> int:
        """Its exit code, after SIGTERM or SIGKILL."""
        self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    @property
    def tracebacks(self) -> int:
        text = self.errors.read_text()
        if "Traceback" in text:
            print(text[text.index("Traceback") :][:3000], flush=True)
        return text.count("Traceback")


class ForkedServer(ServedProcess):
    """``worldmodel serve`` in a fork of this process, which has imported it already: a start costs no ten seconds."""

    def __init__(self, errors: Path, *options: str) -> None:
        from worldmodel import cli
        from worldmodel.policies import load
        from worldmodel.serve import server

        assert load and server  # imported before the fork
        reads, writes = os.pipe()
        self.errors, self.pid = errors, os.fork()
        if self.pid == 0:
            os.dup2(writes, 1)
            os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
            sys.stdout = os.fdopen(1, "w")
            os._exit(cli.main(["serve", *options]))
        os.close(writes)
        with os.fdopen(reads) as said:
            line = said.readline()
        if "://" not in line:
            raise RuntimeError(f"serve did not start: {errors.read_text()[-500:]}")
        self.address = line.strip()

    def stop(self, kill: bool = False) -> int:
        os.kill(self.pid, signal.SIGKILL if kill else signal.SIGTERM)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@contextmanager
def running(errors: Path, command: str, *options: str) -> Iterator[ServedProcess]:
    served = ServedProcess(errors, command, *options)
    try:
        yield served
    finally:
        if served.process.poll() is None:
            served.stop()


def observation(seed: int = 0, size: int = 96) -> dict[str, np.ndarray]:
    """One that the shipped checkpoint takes."""
    draw = np.random.default_rng(seed)
    frames = {f"observation.images.{n}": draw.integers(0, 256, (size, size, 3), np.uint8) for n in ("scene", "wrist")}
    return {**frames, "observation.state": np.array([0.5, 0.0, 0.3, 0.04], np.float32)}


def bad_messages(seed: int, good: bytes) -> Iterator[bytes | str]:
    """Endless requests that are none, or nearly: flipped, cut, grown, nested, mistyped, mis-sized, or text."""
    draw = random.Random(seed)
    while True:
        yield draw.choice(KINDS)(draw, good)


def _flip(draw: random.Random, good: bytes) -> bytes:
    data = bytearray(good)
    for _ in range(draw.choice((1, 1, 2, 8, 64))):
        # half of them among the keys and lengths, which are few beside the pixels
        at = draw.randrange(len(data)) if draw.random() < 0.5 else draw.choice((0, len(data) // 2, len(data) - 120))
        at = min(len(data) - 1, at + draw.randrange(100))
        data[at] = draw.randrange(256)
    return bytes(data)


def _cut(draw: random.Random, good: bytes) -> bytes:
    first, last = sorted((draw.randrange(len(good)), draw.randrange(len(good))))
    return good[:first] + (good[last:] if draw.random() < 0.5 else b"")


def _grow(draw: random.Random, good: bytes) -> bytes:
    at = draw.randrange(len(good))
    return good[:at] + draw.randbytes(draw.choice((1, 4, 100, 10_000))) + good[at:]


def _noise(draw: random.Random, good: bytes) -> bytes:
    return draw.randbytes(draw.choice((0, 1, 2, 5, 50, 5000)))


def _nest(draw: random.Random, good: bytes) -> bytes:
    claims = (b"\xdd\xff\xff\xff\xff", b"\xdc\x0f\xff", b"\xdf\x7f\xff\xff\xff", b"\xdb\xff\xff\xff\xff")
    heads = (b"\x91", b"\x81\xa1a", *claims)
    return b"\x81\xa1a" + draw.choice(heads) * draw.choice((1, 10, 600, 20_000))


def _value(draw: random.Random) -> Any:
    values: tuple[Any, ...] = (
        None,
        True,
        -1,
        0,
        2**63,
        1.5,
        float("nan"),
        float("inf"),
        "",
        "x" * 300,
        b"\0" * 9,
        [],
        [[]],
        {},
        {"a": {}},
    )
    return draw.choice(values)


def _map(draw: random.Random, good: bytes) -> bytes:
    message: dict[Any, Any] = msgpack.unpackb(good)
    names = [*message, "committed", "executed", "seed", "deadline", "reset", "success", "prompt", "", "\ud7ff" * 50]
    for _ in range(draw.choice((1, 2, 5))):
        name = draw.choice(names)
        if draw.random() < 0.2:
            message.pop(name, None)
        else:
            message[name] = _value(draw)
    return bytes(msgpack.packb(message))


def _array(draw: random.Random, good: bytes) -> bytes:
    message: dict[Any, Any] = msgpack.unpackb(good)
    array = message[draw.choice(list(message))]
    dtypes = (
        "|O",
        "O",
        "<f8",
        ">f4",
        "<f2",
        "|S5",
        "<U9",
        "<M8[s]",
        "f4,f4",
        "c16",
        "(2,)f4",
        "V8",
        "<f4\0",
        "",
        "|b1",
    )
    changes = {
        b"dtype": draw.choice(dtypes),
        b"shape": draw.choice(
            ([], [-1], [2**31, 2**31], [0, 2**62], [96, 96, 3, 1], [4] * 40, "abc", [1.5], [True], [27648])
        ),
        b"data": draw.choice((b"", b"\0" * 16, "text", 5, [1, 2, 3, 4])),
        b"__npgeneric__": True,
        b"__ndarray__": draw.choice((False, None, 1)),
        b"nd": True,
        b"kind": b"O",
        b"type": "builtins.eval",
    }
    for key in draw.sample(list(changes), draw.choice((1, 1, 2, 3))):
        array[key] = changes[key]
    return bytes(msgpack.packb(message))


def _text(draw: random.Random, good: bytes) -> str:
    return draw.choice(("", "{}", '{"reset": true}', "\u0000" * 50, "x" * 100_000, json.dumps({"a": [1] * 1000})))


KINDS: list[Callable[[random.Random, bytes], bytes | str]] = [_flip, _cut, _grow, _noise, _nest, _map, _array, _text]


def bad_page_messages(seed: int) -> Iterator[bytes | str]:
    """The same for a page of play, whose messages are JSON."""
    draw = random.Random(seed)
    good = (
        '{"type": "drive", "move": [0.1, -0.2, 0.3], "grip": true}',
        '{"type": "pause", "on": false}',
        '{"type": "step"}',
        '{"type": "reset", "place": {"kind": "seed", "number": 4}}',
        '{"type": "seen", "tick": 3}',
        '{"type": "policy", "on": true, "observes": "real"}',
    )
    values = ("null", "1e999", "NaN", "-1", '"x"', "[]", "{}", "[" * 500, "9" * 400, '"\\ud800"', "true", '"seed"')
    while True:
        text = draw.choice(good)
        if (kind := draw.randrange(5)) == 0:
            at = draw.randrange(len(text))
            yield text[:at] + chr(draw.choice((0, 34, 92, 123, 0x7F, 0xD7FF, 0x10FFFF))) + text[at + 1 :]
        elif kind == 1:
            yield text[: draw.randrange(len(text))]
        elif kind == 2:
            yield text.replace(
                draw.choice(("true", "false", "4", "3", "[0.1, -0.2, 0.3]", '"seed"', '"type"')), draw.choice(values)
            )
        elif kind == 3:
            yield draw.randbytes(draw.choice((0, 1, 100, 3000)))
        else:
            yield draw.choice(values)


def good_request(seed: int = 0) -> bytes:
    return pack(observation(seed))


def open_page(host: str) -> ClientConnection:
    """A page's connection to play, as its own script opens it."""
    page = f"http://{host}"
    return connect(f"ws://{host}/socket", origin=Origin(page), max_size=None, open_timeout=60).__enter__()


def page_header(packet: bytes) -> dict[str, Any]:
    """What stands before the pictures in a packet of play's."""
    (length,) = struct.unpack_from(">I", packet)
    header: dict[str, Any] = json.loads(packet[4 : 4 + length])
    return header


def until(seconds: float) -> Iterator[float]:
    """Seconds left, as long as there are any."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        yield left


def report(out: str, name: str, words: list[str], found: dict[str, Any], failures: int) -> int:
    """Write and print what a campaign found; 1 where something failed, else 0."""
    record = {
        "command": " ".join([f"python -m research.reliability.{name}", *words]),
        **found,
        "failures": int(failures),
    }
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    write_json(Path(out), record)
    print(record)
    return int(failures > 0)
