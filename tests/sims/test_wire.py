"""The wire to another simulator's process: arrays come back exactly, and nonsense is refused before it is believed."""

import json
import socket
import threading

import numpy as np
import pytest

from worldmodel.sims.remote import wire as server


@pytest.fixture
def wires():
    one, other = socket.socketpair()
    one.settimeout(10)
    other.settimeout(10)
    with one, other:
        yield one, other


def raw(wire, header, payload=b"", mark=server.MARK, length=None, size=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    length, size = len(text) if length is None else length, len(payload) if size is None else size
    wire.sendall(server.PREFIX.pack(mark, length, size) + text + payload)


@pytest.mark.parametrize("dtype", server.DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3, 4)])
def test_arrays_come_back_exactly(wires, dtype, shape):
    value = np.asarray(np.random.default_rng(0).random(shape) * 255).astype(dtype)
    server.send(wires[0], {"call": "step", "n": 1}, {"a": value, "b": np.arange(6).reshape(2, 3).T})
    header, arrays = server.receive(wires[1])
    assert header == {"call": "step", "n": 1}
    assert arrays["a"].dtype == value.dtype and np.array_equal(arrays["a"], value) and arrays["a"].shape == shape
    assert np.array_equal(arrays["b"], np.arange(6).reshape(2, 3).T)


def test_a_message_larger_than_any_buffer(wires):
    value = np.random.default_rng(0).integers(0, 256, 5_000_000).astype(np.uint8)
    thread = threading.Thread(target=server.send, args=(wires[0], {}, {"a": value}))
    thread.start()
    assert np.array_equal(server.receive(wires[1])[1]["a"], value)
    thread.join()


ARRAY = {"name": "a", "dtype": "uint8", "shape": [4]}


@pytest.mark.parametrize(
    ("header", "options"),
    [
        ({"arrays": []}, {"mark": b"HTTP"}),
        ({"arrays": []}, {"length": 2**31}),
        ({"arrays": []}, {"size": 2**60}),
        ({}, {}),
        ([], {}),
        (b"\xff\xfe", {}),
        ({"arrays": [ARRAY]}, {}),
        ({"arrays": [ARRAY | {"dtype": "object"}]}, {"payload": b"1234"}),
        ({"arrays": [ARRAY | {"dtype": "float16"}]}, {"payload": b"12345678"}),
        ({"arrays": [ARRAY | {"shape": [-4, -1]}]}, {"payload": b"1234"}),
        ({"arrays": [ARRAY | {"shape": [2**62, 2**62]}]}, {"payload": b"1234"}),
        ({"arrays": [ARRAY | {"shape": "4"}]}, {"payload": b"12345"}),
    ],
)
def test_nonsense_is_refused(wires, header, options):
    raw(wires[0], header, **options)
    with pytest.raises(server.WireError):
        server.receive(wires[1])


def test_nothing_that_could_run_is_sent(wires):
    with pytest.raises(server.WireError, match="object"):
        server.send(wires[0], {}, {"a": np.array([print])})
    with pytest.raises(server.WireError, match="allowed"):
        server.send(wires[0], {}, {"a": np.zeros(server.MOST_PAYLOAD + 1, np.uint8)})


def test_the_other_side_may_leave_in_the_middle(wires):
    wires[0].sendall(server.PREFIX.pack(server.MARK, 10, 0) + b"{}")
    wires[0].close()
    with pytest.raises(EOFError):
        server.receive(wires[1])


def test_a_server_answers_errors_in_one_line_and_ends_with_its_client(wires):
    thread = threading.Thread(target=server.serve, args=(wires[1], lambda header: None))
    thread.start()
    for header in ({"call": "step"}, {"wrong": 1}):
        server.send(wires[0], header)
        told, _ = server.receive(wires[0])
        assert "error" in told and "\n" not in told["error"]
    wires[0].close()
    thread.join(10)
    assert not thread.is_alive()
