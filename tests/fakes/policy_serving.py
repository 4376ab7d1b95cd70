"""A policy server on a free port in a thread of this process, and the bare wire beside it."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.devices import use_threads
from worldmodel.listen import bind
from worldmodel.serve.command import ServeConfig, open_server

POLICIES = Path(__file__).with_name("policies.py")


@contextmanager
def serving_policy(checkpoint: str, **options: Any) -> Iterator[tuple[str, Any]]:
    """The address and the server, until the block ends; what it recorded is sealed then."""
    config = ServeConfig(checkpoint=checkpoint, port=0, **options)
    use_threads(1)
    ready = threading.Event()
    with bind(0) as listener:
        server = open_server(config, config.key)
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_until_complete, args=(server.run(listener, ready.set),))
        thread.start()
        assert ready.wait(60)
        try:
            yield "ws://{}:{}".format(*listener.getsockname()), server
        finally:
            loop.call_soon_threadsafe(server.stop)
            thread.join(30)
            assert not thread.is_alive()
            if server.service.recorder is not None:
                server.service.recorder.close()


def observation(seed: int = 0, size: int = 32) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    frames = {f"observation.images.{n}": random.integers(0, 256, (size, size, 3), np.uint8) for n in ("scene", "wrist")}
    return {**frames, "observation.state": random.uniform(-0.1, 0.1, 4).astype(np.float32)}


def written(value: Any) -> bytes:
    """MessagePack by hand, as the specification has it, so that no library of ours or openpi's is asked."""
    if isinstance(value, np.ndarray):
        shape = list(value.shape)
        return written({b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": shape})
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return b"\xd3" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"\xdb" + struct.pack(">I", len(value.encode())) + value.encode()
    if isinstance(value, bytes):
        return b"\xc6" + struct.pack(">I", len(value)) + value
    if isinstance(value, list):
        return b"\xdd" + struct.pack(">I", len(value)) + b"".join(map(written, value))
    items = [written(part) for pair in value.items() for part in pair]
    return b"\xdf" + struct.pack(">I", len(value)) + b"".join(items)
