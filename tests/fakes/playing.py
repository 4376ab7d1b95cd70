"""A play server on a free port in a thread of this process, and a page's side of its socket."""

from __future__ import annotations

import json
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from websockets.sync.client import ClientConnection, connect

from worldmodel.play.app import build, settings
from worldmodel.play.command import bind
from worldmodel.play.imagination import open_imagination
from worldmodel.play.server import Server, StartPoints


@contextmanager
def serving(checkpoint: str, out: Path, data: str | None = None, seats: int = 4) -> Iterator[str]:
    """The address, host and port, of a server that runs until the block ends."""
    imagination = open_imagination(checkpoint, "place_can", 8, 2, "cpu")
    shared = Server(imagination, StartPoints("place_can", data, imagination.loaded.cameras), out, seats)
    out.mkdir(exist_ok=True)
    ready = threading.Event()
    server = uvicorn.Server(settings(build(shared, ready.set)))
    with bind(0) as listener:
        host = "{}:{}".format(*listener.getsockname())
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        assert ready.wait(30)
        yield host
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


class Page:
    """What a page does, without a browser: sends JSON, keeps what it is told."""

    def __init__(self, host: str) -> None:
        self.socket: ClientConnection = connect(
            f"ws://{host}/socket", origin=f"http://{host}", max_size=None, open_timeout=60
        )
        self.words: list[dict[str, Any]] = []
        self.frames: list[dict[str, Any]] = []
        self.pictures: list[bytes] = []
        self.acknowledges = True

    def say(self, kind: str, **values: Any) -> None:
        self.socket.send(json.dumps({"type": kind, **values}))

    def hear(self, timeout: float = 60.0) -> dict[str, Any]:
        """The next word or frame's header."""
        data = self.socket.recv(timeout)
        if isinstance(data, str):
            self.words.append(json.loads(data))
            return self.words[-1]
        header, self.pictures = unpack(data)
        self.frames.append(header)
        if self.acknowledges:
            self.say("seen", tick=header["tick"])
        return header

    def until(self, kind: str, timeout: float = 60.0, **values: Any) -> dict[str, Any]:
        """The next word or frame of a type that has these values."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            word = self.hear(timeout)
            if word["type"] == kind and all(word.get(key) == value for key, value in values.items()):
                return word
        raise AssertionError(f"no {kind} {values} in {timeout} s; heard {self.words[-5:]}")

    def reach(self, time: float) -> dict[str, Any]:
        """The first frame at ``time`` or later: a busy machine may skip the one of that very moment."""
        while (frame := self.until("frame"))["time"] < time:
            pass
        return frame

    def play(self, seconds: float) -> list[dict[str, Any]]:
        """Hear for a while, and answer; returns the frames."""
        end, first = time.monotonic() + seconds, len(self.frames)
        while (left := end - time.monotonic()) > 0:
            try:
                self.hear(left)
            except TimeoutError:
                break
        return self.frames[first:]

    def close(self) -> None:
        self.socket.close()


def unpack(packet: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """The inverse of `pack`, as the page does it: header and pictures."""
    (length,) = struct.unpack_from(">I", packet)
    header, at, pictures = json.loads(packet[4 : 4 + length]), 4 + length, []
    for entry in header["pictures"]:
        pictures.append(packet[at : at + entry["bytes"]])
        at += entry["bytes"]
    return header, pictures
