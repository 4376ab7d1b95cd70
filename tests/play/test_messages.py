"""The wire: exactly our messages come in, and packets come apart as they were put together."""

import json

import pytest
from playing import unpack

from worldmodel.play.messages import (
    MAX_BYTES,
    Displayed,
    Drive,
    LetPolicy,
    MessageError,
    Pause,
    Record,
    Reset,
    StartPoint,
    Step,
    pack,
    parse,
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type": "drive", "move": [0, -1, 0.5], "grip": true}', Drive((0.0, -1.0, 0.5), True)),
        ('{"type": "pause", "on": true}', Pause(True)),
        ('{"type": "step"}', Step()),
        ('{"type": "reset", "place": {"kind": "seed", "number": 3}}', Reset(StartPoint("seed", 3))),
        (
            '{"type": "reset", "place": {"kind": "start", "split": "test", "number": 3}}',
            Reset(StartPoint("start", 3, "test")),
        ),
        ('{"type": "reset", "place": {"kind": "data", "number": 3, "step": 9}}', Reset(StartPoint("data", 3, step=9))),
        ('{"type": "policy", "on": true, "observes": "real"}', LetPolicy(True, "real")),
        ('{"type": "record", "on": false}', Record(False)),
        ('{"type": "seen", "tick": 12}', Displayed(12)),
    ],
)
def test_what_a_page_may_say(text: str, message: object) -> None:
    assert parse(text) == message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"\x00\x01", "a message is text"),
        (None, "a message is text"),
        ("{", "a message is JSON"),
        ("[" * MAX_BYTES, "a message is JSON"),
        ("[]", "a JSON object with a 'type'"),
        ('{"type": 3}', "a JSON object with a 'type'"),
        ('{"type": "driv"}', "type 'driv' is none of ours; did you mean 'drive'?"),
        ('{"type": "pause"}', "'pause' lacks the field 'on'"),
        ('{"type": "pause", "on": 1}', "pause.on is true or false"),
        ('{"type": "step", "more": 1}', "'step' has no field 'more'; expected: none"),
        ('{"type": "drive", "move": [0, 0], "grip": true}', "drive.move is three numbers from -1 to 1"),
        ('{"type": "drive", "move": [0, 0, 2], "grip": true}', "drive.move is three numbers from -1 to 1"),
        ('{"type": "drive", "move": [0, 0, NaN], "grip": true}', "NaN is no number"),
        ('{"type": "drive", "move": [0, 0, true], "grip": true}', "drive.move is three numbers from -1 to 1"),
        ('{"type": "reset", "place": {"kind": "moon"}}', "reset.place has a 'kind': one of seed, start, data"),
        ('{"type": "reset", "place": {"kind": "seed", "number": -1}}', "of kind seed.number is a whole number"),
        ('{"type": "reset", "place": {"kind": "data", "number": 1}}', "lacks the field 'step'"),
        ('{"type": "policy", "on": true, "observes": "all"}', "policy.observes is one of imagined, real"),
        ('{"type": "seen", "tick": 1e3}', "seen.tick is a whole number"),
        (json.dumps({"type": "x" * MAX_BYTES}), f"at most {MAX_BYTES} bytes"),
    ],
)
def test_what_it_may_not_say(text: str, told: str) -> None:
    with pytest.raises(MessageError) as error:
        parse(text)
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


def test_a_packet_comes_apart_as_it_was_put_together() -> None:
    header, pictures = unpack(pack({"tick": 7}, [("scene", "real", b"abc"), ("wrist", "imagined", b"de")]))
    assert header["tick"] == 7
    assert header["pictures"][1] == {"camera": "wrist", "what": "imagined", "bytes": 2}
    assert pictures == [b"abc", b"de"]
