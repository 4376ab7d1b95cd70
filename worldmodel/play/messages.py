"""What page and server say to one another: small JSON messages in, binary packets of pictures and numbers out."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worldmodel.config import closest
from worldmodel.evaluate.frozen import SPLITS

MAX_BYTES = 2048
"""Longest message that a page may send; the longest that ours sends has about 100 bytes."""
EYES = ("imagined", "real")
"""Which observation a policy that drives is shown."""


class MessageError(ValueError):
    """A message that cannot be understood, in one line that says what was expected. Nothing has happened then."""


@dataclass(frozen=True)
class Place:
    """Where to begin: ``seed`` number, frozen start ``number`` of a split, or a data set's ``step`` of an episode.

    kind: "seed", "start" or "data". number: the seed, the start or the episode.
    """

    kind: str
    number: int
    split: str = SPLITS[0]
    step: int = 0

    def __str__(self) -> str:
        if self.kind == "data":
            return f"episode {self.number}, step {self.step}"
        return f"{self.split} start {self.number}" if self.kind == "start" else f"seed {self.number}"


@dataclass(frozen=True)
class Drive:
    """Velocity wanted, each of x, y, z from -1 to 1, and whether the gripper is to be closed."""

    move: tuple[float, float, float]
    grip: bool


@dataclass(frozen=True)
class Pause:
    """Hold the clock, or let it run."""

    on: bool


@dataclass(frozen=True)
class Step:
    """One control step, with the clock held."""


@dataclass(frozen=True)
class Reset:
    """Begin anew."""

    place: Place


@dataclass(frozen=True)
class LetPolicy:
    """Let the policy drive, seeing what is ``imagined`` or what is ``real``; or take over again."""

    on: bool
    sees: str


@dataclass(frozen=True)
class Record:
    """Begin a clip, or finish it."""

    on: bool


@dataclass(frozen=True)
class Seen:
    """The page has drawn packet ``tick``; the next one may come."""

    tick: int


type Message = Drive | Pause | Step | Reset | LetPolicy | Record | Seen


def parse(text: str | bytes | None) -> Message:
    """One message of a page. Raises MessageError, one line, for whatever is not exactly one of ours."""
    if not isinstance(text, str):
        raise MessageError("a message is text: JSON with a 'type'")
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise MessageError(f"a message has at most {MAX_BYTES} bytes, this one has {len(text)}")
    try:
        values = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"a message is JSON: {' '.join(str(error).split())[:80]}") from None
    if not isinstance(values, dict) or not isinstance(values.get("type"), str):
        raise MessageError("a message is a JSON object with a 'type'")
    kind = values.pop("type")
    if kind not in READERS:
        raise MessageError(f"type {kind[:40]!r} is none of ours; {closest(kind[:40], READERS)}")
    message, readers = READERS[kind]
    return message(**_fields(kind, values, readers))


def pack(header: Mapping[str, Any], pictures: Sequence[tuple[str, str, bytes]]) -> bytes:
    """A packet: length of the header (4 bytes, big-endian), the header as JSON, then the pictures one after another.

    pictures: camera, "imagined" or "real", and the bytes of a JPEG; the header lists them under "pictures" with their
    lengths, in their order.
    """
    listed = [{"camera": camera, "what": what, "bytes": len(data)} for camera, what, data in pictures]
    head = json.dumps({**header, "pictures": listed}, allow_nan=False).encode()
    return b"".join([struct.pack(">I", len(head)), head, *(data for _, _, data in pictures)])


def unpack(packet: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """The inverse of `pack`, as the page does it: header and pictures."""
    (length,) = struct.unpack_from(">I", packet)
    header, at, pictures = json.loads(packet[4 : 4 + length]), 4 + length, []
    for entry in header["pictures"]:
        pictures.append(packet[at : at + entry["bytes"]])
        at += entry["bytes"]
    return header, pictures


type Reader = Callable[[str, Any], Any]


def _fields(kind: str, values: Mapping[str, Any], readers: Mapping[str, Reader]) -> dict[str, Any]:
    """Every field of ``readers`` read and checked; MessageError where one is missing or unknown."""
    for name in values:
        if name not in readers:
            raise MessageError(f"{kind!r} has no field {name[:40]!r}; expected: {', '.join(readers) or 'none'}")
    for name in readers:
        if name not in values:
            raise MessageError(f"{kind!r} lacks the field {name!r}")
    return {name: read(f"{kind}.{name}", values[name]) for name, read in readers.items()}


def _yes(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise MessageError(f"{name} is true or false")
    return value


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise MessageError(f"{name} is a whole number, 0 or more")
    return value


def _one_of(known: Sequence[str]) -> Reader:
    def read(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in known:
            raise MessageError(f"{name} is one of {', '.join(known)}")
        return value

    return read


def _velocity(name: str, value: Any) -> tuple[float, float, float]:
    numbers = value if isinstance(value, list) else []
    fit = [isinstance(v, int | float) and not isinstance(v, bool) and -1 <= v <= 1 for v in numbers]
    if len(numbers) != 3 or not all(fit) or not all(map(math.isfinite, numbers)):
        raise MessageError(f"{name} is three numbers from -1 to 1")
    return (float(numbers[0]), float(numbers[1]), float(numbers[2]))


def _place(name: str, value: Any) -> Place:
    if not isinstance(value, dict) or value.get("kind") not in PLACES:
        raise MessageError(f"{name} has a 'kind': one of {', '.join(PLACES)}")
    kind = value["kind"]
    rest = {key: given for key, given in value.items() if key != "kind"}
    return Place(kind, **_fields(f"{name} of kind {kind}", rest, PLACES[kind]))


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no number")


PLACES: dict[str, dict[str, Reader]] = {
    "seed": {"number": _count},
    "start": {"split": _one_of(SPLITS), "number": _count},
    "data": {"number": _count, "step": _count},
}
READERS: dict[str, tuple[Callable[..., Message], dict[str, Reader]]] = {
    "drive": (Drive, {"move": _velocity, "grip": _yes}),
    "pause": (Pause, {"on": _yes}),
    "step": (Step, {}),
    "reset": (Reset, {"place": _place}),
    "policy": (LetPolicy, {"on": _yes, "sees": _one_of(EYES)}),
    "record": (Record, {"on": _yes}),
    "seen": (Seen, {"tick": _count}),
}
