"""Messages of the page, small JSON objects, and the binary packets of pictures and numbers that it receives."""

import json
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from worldmodel.config import closest
from worldmodel.evaluate.initial_states import SPLITS

MAX_BYTES = 2048
"""Longest message that a page may send; the longest that ours sends has about 100 bytes."""
OBSERVED = ("imagined", "real")
"""Which observation a policy that drives is shown."""
PLACES = {"seed": {"number"}, "start": {"split", "number"}, "data": {"number", "step"}}
"""The fields that each kind of place has."""
EXPECTED = {
    "move": "three numbers from -1 to 1",
    **dict.fromkeys(("number", "step", "tick"), "a whole number, 0 or more"),
    **dict.fromkeys(("on", "grip"), "true or false"),
    "observes": f"one of {', '.join(OBSERVED)}",
    "split": f"one of {', '.join(SPLITS)}",
}
"""What a field must be, for error messages."""

type Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
type Unit = Annotated[float, msgspec.Meta(ge=-1, le=1)]


class MessageError(ValueError):
    """A message that is none of ours, in one line that says what was expected."""


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag=str.lower):
    """What a page sends: its class's name in small letters is its ``type``."""


class StartPoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to begin: ``number`` is a seed, a fixed initial state of a split, or an episode of the data."""

    kind: Literal["seed", "start", "data"]
    number: Count
    split: Literal["validation", "test"] = "validation"
    step: Count = 0

    def __str__(self) -> str:
        if self.kind == "data":
            return f"episode {self.number}, step {self.step}"
        return f"{self.split} start {self.number}" if self.kind == "start" else f"seed {self.number}"


class Drive(Message, frozen=True):
    """Velocity wanted, each of x, y, z from -1 to 1, and whether the gripper is to be closed."""

    move: tuple[Unit, Unit, Unit]
    grip: bool


class Pause(Message, frozen=True):
    """Hold the clock, or let it run."""

    on: bool


class Step(Message, frozen=True):
    """One control step, with the clock held."""


class Reset(Message, frozen=True):
    """Begin anew."""

    place: StartPoint


class LetPolicy(Message, frozen=True, tag="policy"):
    """Let the policy drive, observing what is ``imagined`` or ``real``; or take over again."""

    on: bool
    observes: Literal["imagined", "real"]


class Record(Message, frozen=True):
    """Begin a clip, or finish it."""

    on: bool


class Displayed(Message, frozen=True, tag="seen"):
    """The page has drawn packet ``tick``; the next one may come."""

    tick: Count


KINDS = {str(kind.__struct_config__.tag): kind for kind in (Drive, Pause, Step, Reset, LetPolicy, Record, Displayed)}


def parse(text: str | bytes | None) -> Message:
    """One message of a page. Raises MessageError, one line."""
    if not isinstance(text, str):
        raise MessageError("a message is text: JSON with a 'type'")
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise MessageError(f"a message has at most {MAX_BYTES} bytes, this one has {len(text)}")
    try:
        values = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"a message is JSON: {' '.join(str(error).split())[:80]}") from None
    if not isinstance(values, dict) or not isinstance(kind := values.get("type"), str):
        raise MessageError("a message is a JSON object with a 'type'")
    if kind not in KINDS:
        raise MessageError(f"type {kind[:40]!r} is none of ours; {closest(kind[:40], KINDS)}")
    try:
        if kind == "reset" and "place" in values:
            _check_place(values["place"])
        return msgspec.convert(values, KINDS[kind])
    except msgspec.ValidationError as error:
        raise MessageError(_explained(kind, values, str(error))) from None


def _check_place(place: Any) -> None:
    """Every kind of place has fields of its own; what they hold is checked with the rest."""
    if not isinstance(place, dict) or not isinstance(kind := place.get("kind"), str) or kind not in PLACES:
        raise MessageError(f"reset.place has a 'kind': one of {', '.join(PLACES)}")
    for name in sorted(PLACES[kind] ^ (place.keys() - {"kind"})):
        wrong = "lacks the field" if name in PLACES[kind] else "has no field"
        raise MessageError(f"reset.place of kind {kind} {wrong} {name[:40]!r}; expected: {', '.join(PLACES[kind])}")


def _explained(kind: str, values: Mapping[str, Any], error: str) -> str:
    """msgspec's "Expected `bool`, got `int` - at `$.on`" by the field's name and what it must be."""
    if found := re.match(r"Object (missing required|contains unknown) field `(.*?)`", error):
        wrong = "lacks the field" if found[1].startswith("missing") else "has no field"
        names = ", ".join(field.name for field in msgspec.structs.fields(KINDS[kind]))
        return f"{kind!r} {wrong} {found[2][:40]!r}; expected: {names or 'none'}"
    path = re.split(r"[`\[]", error.rpartition("`$.")[2])[0]
    field = path.rpartition(".")[2]
    where = f"place of kind {values['place']['kind']}.{field}" if path.startswith("place.") else path
    return f"{kind}.{where} is {EXPECTED[field]}"


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no number")


def pack(header: Mapping[str, Any], pictures: Sequence[tuple[str, str, bytes]]) -> bytes:
    """A packet: length of the header (4 bytes, big-endian), the header as JSON, then the pictures.

    pictures: camera, "imagined" or "real", and a JPEG; the header lists them under "pictures", with their lengths.
    """
    listed = [{"camera": camera, "what": what, "bytes": len(data)} for camera, what, data in pictures]
    head = json.dumps({**header, "pictures": listed}, allow_nan=False).encode()
    return b"".join([struct.pack(">I", len(head)), head, *(data for _, _, data in pictures)])
