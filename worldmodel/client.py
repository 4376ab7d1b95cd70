"""Ask a served policy for actions, from the robot's own computer.

This one file needs numpy, msgpack, websockets and Python 3.9 or newer; it imports nothing else of the package, so
copying it is enough. It speaks openpi's policy protocol: MessagePack maps with NumPy arrays over a WebSocket, one reply
for each request, the server's metadata first, and an error as text.
"""

from __future__ import annotations

import math
import re
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import msgpack
import numpy as np
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

ADDRESS = "ws://127.0.0.1:8000"
DTYPE = re.compile(r"[<>|=]?([iuf][1248]|b1)\Z")
"""Numbers and truth values: no objects, strings, times or records."""


class ServerError(RuntimeError):
    """What the server says is wrong with a request, in one line; it answers the next one."""


def pack(message: dict[str, Any]) -> bytes:
    """One MessagePack map. ValueError for an array that does not hold numbers or truth values."""
    return msgpack.packb(message, default=_plain)


def unpack(data: bytes) -> dict[str, Any]:
    """The map in a message, arrays read-only over its bytes. ValueError, one line, for anything else: nothing is run,
    and nothing larger than the message is made.
    """
    limits = {"max_array_len": 4096, "max_map_len": 1024, "max_ext_len": 0}
    try:
        message = msgpack.unpackb(data, object_hook=_array, raw=False, **limits)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise ValueError(f"a message is one MessagePack map: {reason}") from None
    if not isinstance(message, dict):
        raise ValueError(f"a message is one MessagePack map, not {type(message).__name__}")
    return message


def _plain(value: Any) -> Any:
    if not isinstance(value, (np.ndarray, np.generic)):
        raise ValueError(f"{type(value).__name__} cannot be sent; give arrays, numbers or text")
    if not DTYPE.match(value.dtype.str):
        raise ValueError(f"an array of {value.dtype} cannot be sent; give numbers")
    if isinstance(value, np.generic):
        return value.item()
    return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}


def _array(fields: dict[Any, Any]) -> Any:
    """What a map stands for: an array, a NumPy number, or itself."""
    if b"__npgeneric__" not in fields and b"__ndarray__" not in fields:
        return fields
    name, data = fields.get(b"dtype"), fields.get(b"data")
    if not isinstance(name, str) or not DTYPE.match(name):
        raise ValueError(f"arrays of {str(name)[:20]!r} are not taken, only numbers")
    dtype = np.dtype(name)
    if b"__npgeneric__" in fields:
        if not isinstance(data, (bool, int, float)):
            raise ValueError("a NumPy number is one number")
        return dtype.type(data)
    shape = fields.get(b"shape")
    if not isinstance(shape, list) or len(shape) > 8 or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("the shape of an array is a list of at most 8 whole numbers")
    if not isinstance(data, bytes) or len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"an array's data do not fill its shape {shape}")
    return np.ndarray(shape, dtype, data).astype(dtype.newbyteorder("="), copy=False)


class Client:
    """A connection to ``worldmodel serve``, or to any server that speaks openpi's protocol.

    ``metadata``: what the server says of itself first: ``observation`` (shape and dtype by key), ``cameras``, ``rate``
    in hertz, ``horizon``, ``action_names``, ``action_units``, ``prefix`` and more. token: its API key. timeout:
    seconds to wait for anything. Raises ConnectionError, one line, where there is no server or it does not let us in.
    """

    def __init__(self, address: str = ADDRESS, token: str | None = None, timeout: float = 10.0) -> None:
        headers = {"Authorization": f"Api-Key {token}"} if token else None
        self.address, self.timeout = address, timeout
        try:
            options: dict[str, Any] = {
                "additional_headers": headers,
                "compression": None,
                "max_size": 2**26,
                "open_timeout": timeout,
            }
            self._socket = connect(address, **options).__enter__()  # of every version; closed by `close`
        except (OSError, WebSocketException) as error:
            raise ConnectionError(f"{address}: no policy server answers ({' '.join(str(error).split())})") from None
        self.metadata = self._receive()

    def act(self, observation: dict[str, Any], **more: Any) -> np.ndarray:
        """A chunk of actions, float32 (horizon, A), for one observation: arrays by key, as ``metadata`` lists them.

        more: ``committed``, float32 (d, A), actions that will be carried out whatever comes, which the chunk begins
        with and continues (d at most ``metadata["prefix"]``); ``executed``, float32 (n, A), actions carried out since
        the last request, for the server's recording; ``seed`` of the sampling noise; ``deadline`` in seconds.
        Raises ServerError, one line, for a request that is refused; ConnectionError where the server is gone.
        """
        return self._chunk(self._exchange(pack({**observation, **more})))

    def reset(self, success: bool | None = None) -> int | None:
        """End the episode, and say whether it succeeded; its number where the server recorded it, which is then on
        the server's disk.
        """
        ended = {"reset": True} if success is None else {"reset": True, "success": bool(success)}
        return self._exchange(pack(ended)).get("episode")

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _chunk(self, reply: dict[str, Any]) -> np.ndarray:
        if "actions" not in reply:
            raise ServerError(f"the reply holds no actions: {', '.join(map(str, reply))}")
        return np.array(reply["actions"], np.float32)

    def _exchange(self, data: bytes) -> dict[str, Any]:
        try:
            self._socket.send(data)
        except (OSError, WebSocketException) as error:
            raise self._lost(error) from None
        return self._receive()

    def _receive(self) -> dict[str, Any]:
        try:
            data = self._socket.recv(self.timeout)
        except (OSError, WebSocketException) as error:  # a late reply would be taken for the next one's
            self._socket.close()
            raise self._lost(error) from None
        if isinstance(data, str):
            raise ServerError(data)
        return unpack(data)

    def _lost(self, error: Exception) -> ConnectionError:
        reason = f"no reply for {self.timeout:g} s" if isinstance(error, TimeoutError) else " ".join(str(error).split())
        return ConnectionError(f"{self.address}: {reason}; connect again")


class RealTimeClient(Client):
    """Carries out a chunk while the next is computed, and has the next one continue the actions that are under way.

    Call `step` once in each control step. ``n_action_steps``: how many of a chunk's steps are carried out before the
    next observation is sent; None for the server's own number. ``delay``: None takes a chunk as soon as it is there,
    and commits as many actions as replies have lately taken control steps; a number takes it after just so many steps
    (simulations that do not run in real time). ``waits`` counts steps that had to wait for a reply, ``failed``
    requests that the server refused while actions were left.
    """

    def __init__(
        self,
        address: str = ADDRESS,
        token: str | None = None,
        n_action_steps: int | None = None,
        delay: int | None = None,
        timeout: float = 10.0,
    ) -> None:
        super().__init__(address, token, timeout)
        self.horizon, self.rate = int(self.metadata["horizon"]), float(self.metadata["rate"])
        self.n_action_steps = int(n_action_steps or self.metadata["n_action_steps"])
        most = min(self.n_action_steps, self.horizon - self.n_action_steps)
        if not 1 <= self.n_action_steps <= self.horizon or (delay is not None and not 0 <= delay <= most):
            self.close()
            reach = f"a chunk has {self.horizon} steps"
            raise ValueError(
                f"n_action_steps={n_action_steps}, delay={delay}: {reach}, expected a delay of 0 to {most}"
            )
        self.delay, self.waits, self.failed = delay, 0, 0
        self._latency: deque[float] = deque(maxlen=20)
        self._thread = ThreadPoolExecutor(1, "worldmodel.client")
        self._actions: np.ndarray = np.empty((0, 0), np.float32)
        self._at, self._since = self.n_action_steps, 0
        self._asked: Future[np.ndarray] | None = None
        self._executed: list[np.ndarray] = []

    @property
    def due(self) -> bool:
        """Whether the next `step` sends its observation; others need not hold frames."""
        return self._asked is None and self._at >= self.n_action_steps

    def step(self, observation: dict[str, Any]) -> np.ndarray:
        """The action of this control step, float32 (A,). It waits for the server only where no action is left: in an
        episode's first step, and where a reply takes longer than a chunk reaches.
        """
        if self._asked is not None and (self._asked.done() if self.delay is None else self._since >= self.delay):
            self._take()
        if self.due:
            self._ask(observation)
            if self.delay == 0:
                self._take()
        while self._at >= len(self._actions):
            self.waits += len(self._actions) > 0  # an episode's first step is no delay
            if self._asked is None:
                self._ask(observation)
            self._take()
        action = self._actions[self._at]
        self._at, self._since = self._at + 1, self._since + 1
        self._executed.append(action)
        return action.copy()

    def reset(self, success: bool | None = None) -> int | None:
        if self._asked is not None:
            self._asked.exception()  # one request at a time
        self._actions, self._at, self._asked, self._executed = self._actions[:0], self.n_action_steps, None, []
        return super().reset(success)

    def close(self) -> None:
        super().close()
        if hasattr(self, "_thread"):
            self._thread.shutdown()

    def _ask(self, observation: dict[str, Any]) -> None:
        more: dict[str, Any] = {}
        left = self._actions[self._at :]
        expected = math.ceil(max(self._latency, default=0.0) * self.rate) if self.delay is None else self.delay
        if count := min(expected, len(left), int(self.metadata.get("prefix", 0))):
            more["committed"] = left[:count]
        if self._executed:
            more["executed"] = np.stack(self._executed[-self.horizon :])
        self._executed, self._since = [], 0
        self._asked = self._thread.submit(self._timed, pack({**observation, **more}))

    def _timed(self, data: bytes) -> np.ndarray:
        began = time.monotonic()
        chunk = self._chunk(self._exchange(data))
        self._latency.append(time.monotonic() - began)
        return chunk

    def _take(self) -> None:
        """Change to the requested chunk, as many steps into it as have gone by since its observation."""
        assert self._asked is not None
        asked, self._asked = self._asked, None
        try:
            self._actions, self._at = asked.result(), self._since
        except ServerError:
            if self._at >= len(self._actions):
                raise
            self.failed += 1
