"""The local wire to a simulator in another environment's Python: messages on one end of a socket pair, no pickle.

A message is 16 bytes (a mark, the header's and the payload's length), a JSON header and the raw bytes of the arrays
that the header lists: a list of dtypes, and limits that are checked before anything is read. Needs NumPy alone,
because it runs on both sides.
"""

import json
import math
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

MARK = b"WMA1"
PREFIX = struct.Struct(">4sIQ")
MOST_HEADER, MOST_PAYLOAD = 1 << 23, 1 << 26  # Bytes: a scene's XML travels in the header, images in the payload
DTYPES = ("bool", "uint8", "int64", "float32", "float64")


class WireError(ValueError):
    """A message that breaks the rules; the connection is of no more use."""


def send(wire: socket.socket, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> None:
    """Send one message. ``header`` is JSON; WireError where something is too large or of another dtype."""
    values = {name: np.asarray(value) for name, value in (arrays or {}).items()}
    if bad := [name for name, value in values.items() if value.dtype.name not in DTYPES]:
        raise WireError(f"array {bad[0]!r} is {values[bad[0]].dtype}, expected one of {', '.join(DTYPES)}")
    listed = [{"name": name, "dtype": v.dtype.name, "shape": v.shape} for name, v in values.items()]
    text = json.dumps({**header, "arrays": listed}).encode()
    size = sum(value.nbytes for value in values.values())
    _check(len(text), size)
    wire.sendall(PREFIX.pack(MARK, len(text), size) + text + b"".join(value.tobytes() for value in values.values()))


def receive(wire: socket.socket) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The next message: its header and its arrays. EOFError where the other side is gone, WireError for nonsense."""
    mark, length, size = PREFIX.unpack(_exactly(wire, PREFIX.size))
    if mark != MARK:
        raise WireError(f"message begins with {mark!r}, expected {MARK!r}")
    _check(length, size)
    text = _exactly(wire, length)
    try:
        header = json.loads(text.decode())
        listed = [(str(e["name"]), str(e["dtype"]), tuple(int(n) for n in e["shape"])) for e in header.pop("arrays")]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise WireError(f"header is not what was agreed ({error})") from None
    if any(dtype not in DTYPES or min(shape, default=0) < 0 for _, dtype, shape in listed):
        raise WireError(f"arrays {listed} are not what was agreed")
    ends = np.cumsum([0, *(math.prod(shape) * np.dtype(dtype).itemsize for _, dtype, shape in listed)], dtype=object)
    if ends[-1] != size:
        raise WireError(f"arrays take {ends[-1]} bytes, the message holds {size}")
    payload = _exactly(wire, size)
    arrays = {}
    for (name, dtype, shape), start in zip(listed, ends, strict=False):
        arrays[name] = np.frombuffer(payload, dtype, math.prod(shape), int(start)).reshape(shape)
    return header, arrays


def _check(length: int, size: int) -> None:
    if length > MOST_HEADER or size > MOST_PAYLOAD:
        raise WireError(f"message of {length} + {size} bytes, allowed are {MOST_HEADER} + {MOST_PAYLOAD}")


def _exactly(wire: socket.socket, count: int) -> bytearray:
    data = bytearray(count)
    view = memoryview(data)
    while len(view):
        got = wire.recv_into(view)
        if not got:
            raise EOFError("the other side closed the connection")
        view = view[got:]
    return data


def serve(wire: socket.socket, make: Callable[[dict[str, Any]], Any]) -> None:
    """Answer until the other side closes; the first call is ``make``, whose header ``make`` gets.

    What it makes has ``describe()``, for a record, and ``answer(call, header, arrays)``, for a record and arrays.
    """
    hosted: Any = None
    found: dict[str, np.ndarray] = {}
    while True:
        try:
            header, arrays = receive(wire)
        except EOFError:
            return
        try:
            if header["call"] == "make":
                hosted = make(header)
                result, found = hosted.describe(), {}
            elif hosted is None:
                raise ValueError("the first call must be make")
            else:
                result, found = hosted.answer(header["call"], header, arrays)
            send(wire, result, found)
        except Exception as error:  # noqa: BLE001  whatever the simulator makes of it, the client gets one line
            send(wire, {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"})
