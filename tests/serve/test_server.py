"""The policy server over its real socket: the wire by hand, clients beside one another, bad ones, strangers."""

from __future__ import annotations

import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from policy_serving import POLICIES, observation, serving_policy, written
from small import small_model
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from worldmodel import checkpoint
from worldmodel.client import Client, ServerError, pack, unpack
from worldmodel.policies.load import PolicyOptions, load_policy
from worldmodel.rollout.policy import noise_seed
from worldmodel.sims.base import InitialState


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(checkpoint.save(small_model(), tmp_path_factory.mktemp("serve") / "model", {"command": "by hand"}))


@pytest.fixture(scope="module")
def served(model: str) -> Iterator[str]:
    with serving_policy(model, clients=4) as (address, _):
        yield address


def raw(address: str, **options: Any) -> ClientConnection:
    """A connection past its metadata."""
    connection = connect(address, compression=None, max_size=None, **options)
    connection.recv()
    return connection


def get(address: str, path: str, **headers: str) -> str:
    request = urllib.request.Request(address.replace("ws:", "http:") + path, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as reply:
        return reply.read().decode()


def refusal(address: str, path: str = "", **headers: str) -> int:
    with pytest.raises(InvalidStatus) as refused:
        connect(address + path, additional_headers=headers)
    return int(refused.value.response.status_code)


def test_openpis_wire_by_hand(served: str, model: str) -> None:
    with connect(served, compression=None, max_size=None) as wire:
        told = msgpack.unpackb(wire.recv())
        assert told["cameras"] == ["scene", "wrist"] and told["image_size"] == [32, 32]
        assert told["action_names"] == ["x", "y", "z", "gripper"] and told["action_units"][:3] == ["m", "m", "m"]
        assert (told["rate"], told["horizon"], told["prefix"], told["n_action_steps"]) == (20.0, 16, 0, 8)
        assert told["lineage"]["command"] == "by hand" and len(told["lineage"]["weights"]) == 64
        assert told["observation"]["observation.state"] == {"shape": [4], "dtype": "float32"}
        seen = observation()
        for decision in range(2):
            wire.send(written({**seen, "prompt": "what openpi's users add"}))
            reply = msgpack.unpackb(wire.recv())
            actions = reply["actions"]
            assert actions[b"__ndarray__"] is True and actions[b"shape"] == [16, 4] and actions[b"dtype"] == "<f4"
            found = np.frombuffer(actions[b"data"], np.float32).reshape(16, 4)
            policy: Any = load_policy(model, "place_can", PolicyOptions(8, device="cpu")).policy
            batch = {key: value[None] for key, value in seen.items()}
            seeds = np.array([noise_seed(0, InitialState(0, 0), decision)])
            np.testing.assert_allclose(found, policy.act(batch, seeds)[0], atol=1e-5)
            assert reply["server_timing"]["infer_ms"] > 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"observation.state": np.zeros(7)}, "observation.state is 7, expected 4"),
        ({"observation.state": np.full(4, np.nan)}, "observation.state: holds numbers that are not finite"),
        ({"observation.state": "here"}, "observation.state: expected an array of float32"),
        ({"observation.state": [[1], [2, 3]]}, "observation.state: expected an array of float32"),
        ({"observation.images.scene": np.zeros((48, 48, 3), np.uint8)}, "scene is 48x48x3, expected 32x32x3"),
        ({"observation.images.scene": np.zeros((32, 32, 3))}, "expected an array of uint8, not float64"),
        ({"committed": np.zeros((2, 4))}, "committed: shape (2, 4), expected at most 0 rows"),
        ({"executed": np.zeros(4)}, "executed: shape (4,), expected at most 16 rows of 4 numbers"),
        ({"seed": -3}, "seed: expected a whole number"),
        ({"reset": 1}, "reset: expected true or false"),
        ({"deadline": "soon"}, "deadline: expected seconds above 0"),
    ],
)
def test_a_request_that_misfits_is_one_line_and_the_next_is_answered(served: str, change: dict, told: str) -> None:
    with Client(served) as client:
        with pytest.raises(ServerError) as refused:
            client.act({**observation(), **change})
        assert told in str(refused.value) and "\n" not in str(refused.value)
        assert client.act(observation()).shape == (16, 4)


ARRAY = {b"__ndarray__": True, b"data": b"12345678", b"dtype": "<f8", b"shape": [1]}


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("text", "a request is binary"),
        (b"", "one MessagePack map"),
        (b"\xc1", "one MessagePack map"),
        (b"\x93\x01\x02\x03", "one MessagePack map, not list"),
        (b"\x81\xa1a" + b"\x91" * 5000, "one MessagePack map"),
        (b"\x81\xa1a" + b"\xdd\xff\xff\xff\xff" * 50, "one MessagePack map"),
        (b"\x81\xa1a\xd6\xff\x00\x00\x00\x00", "one MessagePack map"),
        (written({"a": {**ARRAY, b"dtype": "|O"}}), "arrays of '|O' are not taken"),
        (written({"a": {**ARRAY, b"dtype": "f8,f8"}}), "arrays of 'f8,f8' are not taken"),
        (written({"a": {**ARRAY, b"shape": [-1]}}), "the shape of an array"),
        (written({"a": {**ARRAY, b"shape": [2**62, 2**62]}}), "do not fill its shape"),
        (written({"a": {**ARRAY, b"shape": [2]}}), "do not fill its shape"),
        (written({"a": {b"__npgeneric__": True, b"data": [], b"dtype": "<f4"}}), "a NumPy number is one number"),
    ],
)
def test_no_message_is_run_or_fatal(served: str, message: bytes | str, told: str) -> None:
    with raw(served) as wire:
        wire.send(message)
        reply = wire.recv(10)
        assert isinstance(reply, str) and told in reply and "Traceback" not in reply
        wire.send(pack(observation()))
        assert "actions" in unpack(wire.recv(10))


def test_a_message_that_is_too_long_ends_its_client_alone(served: str) -> None:
    with Client(served) as other, raw(served) as wire:
        with pytest.raises(ConnectionClosed) as closed:
            wire.send(b"\0" * (2**22 + 1))
            wire.recv(10)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009
        other.act(observation())


def test_strangers(served: str) -> None:
    assert refusal(served, Origin="http://evil.example") == 403
    assert refusal(served, Origin=served.replace("ws", "http")) == 403
    assert refusal(served, "/elsewhere") == 404
    with socket.create_connection(("127.0.0.1", int(served.rpartition(":")[2])), 10) as rebound:
        rebound.sendall(b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        assert b" 403 " in rebound.recv(100)
    for nonsense in (b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1000 + b"\r\n"):
        with socket.create_connection(("127.0.0.1", int(served.rpartition(":")[2])), 10) as stranger:
            stranger.sendall(nonsense)
            assert b"Traceback" not in stranger.recv(4096)


def test_health_and_metrics(served: str) -> None:
    assert get(served, "/healthz") == "ok\n"
    with Client(served) as client:
        client.act(observation())
        text = get(served, "/metrics")
    counts = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(counts["worldmodel_serve_clients"]) >= 1
    assert float(counts['worldmodel_serve_requests_total{outcome="answered"}']) >= 1
    assert (
        counts['worldmodel_serve_inference_seconds_bucket{le="+Inf"}']
        == counts["worldmodel_serve_inference_seconds_count"]
    )


def test_a_token(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDMODEL_TOKEN", "only-for-robots")
    with serving_policy(model) as (address, _):
        assert refusal(address) == refusal(address, Authorization="Api-Key only-for-robotz") == 401
        assert get(address, "/healthz") == "ok\n"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            get(address, "/metrics")
        assert get(address, "/metrics", Authorization="Api-Key only-for-robots")
        with pytest.raises(ConnectionError, match=r"no policy server answers .*401"):
            Client(address)
        with Client(address, token="only-for-robots") as client:
            assert client.act(observation()).shape == (16, 4)


def test_clients_do_not_mix() -> None:
    with serving_policy(f"python:{POLICIES}:Counts") as (address, _), Client(address) as one, Client(address) as two:
        assert [int(one.act(observation())[0, 0]) for _ in range(3)] == [1, 2, 3]
        assert int(two.act(observation())[0, 0]) == 1
        assert one.reset() is None and int(one.act(observation())[0, 0]) == 1
        assert int(two.act(observation())[0, 0]) == 2


def test_noise_belongs_to_a_client(served: str) -> None:
    with Client(served) as one, Client(served) as two:
        first = [one.act(observation()) for _ in range(2)]
        second = [two.act(observation()) for _ in range(2)]
        again = one.act(observation(), seed=5), two.act(observation(), seed=5)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(*again)
    assert not np.array_equal(*first)


def test_a_newer_request_replaces_one_that_waits_and_each_has_its_reply() -> None:
    with serving_policy(f"python:{POLICIES}:Slow") as (address, server), raw(address) as wire:
        for wait in (0.1, 0, 0, 0, 0):  # the first is in work when the others come
            wire.send(pack(observation()))
            time.sleep(wait)
        replies = [unpack(wire.recv(10)) for _ in range(5)]
    assert [reply.get("dropped", False) for reply in replies] == [False, True, True, True, False]
    assert [int(reply["actions"][0, 0]) for reply in replies if "actions" in reply] == [1, 2]
    assert server.metrics.requests["dropped"] == 3


def test_a_deadline_is_kept() -> None:
    with serving_policy(f"python:{POLICIES}:Slow", deadline=0.45) as (address, server):
        with raw(address) as one, raw(address) as two, raw(address) as three:
            for wire in (one, two, three):
                wire.send(pack(observation()))
            said = [wire.recv(10) for wire in (one, two, three)]
            assert isinstance(said[0], bytes)
            assert str(said[1]).startswith("late: the actions took longer than 0.45 s")
            assert str(said[2]).startswith("late: other clients were before this request for 0.45 s")
            one.send(pack({**observation(), "deadline": 0.1}))
            assert str(one.recv(10)).startswith("late: ")
        assert server.metrics.requests["late"] == 3


def test_a_failing_policy_tells_its_client_nothing_of_the_server(capfd: pytest.CaptureFixture[str]) -> None:
    with serving_policy(f"python:{POLICIES}:Fails") as (address, _), Client(address) as client:
        for _ in range(2):
            with pytest.raises(ServerError) as failed:
                client.act(observation())
            assert str(failed.value) == "failed: the policy cannot act on this; the server's terminal says why"
    assert "a secret of the server" in capfd.readouterr().err


def test_actions_that_are_not_finite_are_not_sent(capfd: pytest.CaptureFixture[str]) -> None:
    served = serving_policy(f"python:{POLICIES}:Diverges")
    refused = pytest.raises(ServerError, match="the policy's actions on this are not finite")
    with served as (address, _), Client(address) as client, refused:
        client.act(observation())
    assert not capfd.readouterr().err, "no traceback: that is no defect of the server's"


def test_places_are_counted_and_given_back(served: str) -> None:
    wires = [raw(served) for _ in range(4)]
    assert refusal(served) == 503
    for wire in wires:
        wire.close()
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            raw(served).close()
            return
        except InvalidStatus:
            time.sleep(0.05)
    raise AssertionError("no place came back")


def test_one_floods_one_is_deaf_and_the_third_is_answered(model: str) -> None:
    stop = threading.Event()

    def flood(wire: ClientConnection) -> None:
        while not stop.is_set():
            try:
                wire.send(pack(observation()))
            except ConnectionClosed:
                return

    def spent(client: Client) -> list[float]:
        times = [time.monotonic()]
        for _ in range(30):
            client.act(observation())
            times.append(time.monotonic())
        return list(np.diff(times))

    with (
        serving_policy(model, deadline=60) as (address, _),
        raw(address) as flooding,
        raw(address, max_queue=1) as deaf,
        Client(address, timeout=60) as client,
    ):
        alone = spent(client)
        threads = [threading.Thread(target=flood, args=(wire,)) for wire in (flooding, deaf)]
        for thread in threads:
            thread.start()
        together = spent(client)
        stop.set()
        for wire in (flooding, deaf):
            wire.socket.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
    assert max(together) < 1 + 20 * max(alone), "no stall, however busy this machine is"


def test_the_end_answers_what_is_in_work() -> None:
    with serving_policy(f"python:{POLICIES}:Slow") as (address, _):
        wire = raw(address)
        wire.send(pack(observation()))
        time.sleep(0.1)
    assert "actions" in unpack(wire.recv(10))
    with pytest.raises(ConnectionClosed) as closed:
        wire.recv(10)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1001


def test_what_was_recorded(model: str, tmp_path: Path) -> None:
    from worldmodel.data import EpisodeStore
    from worldmodel.data.verification import verify

    with serving_policy(model, record=str(tmp_path / "store")) as (address, server):
        with Client(address) as client:
            chunks = [client.act(observation(0)), client.act(observation(1), executed=np.ones((8, 4), np.float32))]
            assert client.reset(success=True) == 0
            client.act(observation(2))
            assert client.reset() == 1
            assert client.reset() is None, "nothing since"
            client.act(observation(3))
        while server.service.recorder.stored < 3:  # once the server has seen that the client left
            time.sleep(0.01)
    store = EpisodeStore.open(tmp_path / "store")
    assert not verify(tmp_path / "store")
    assert (store.episodes, store.success.tolist(), store.tasks) == (3, [True, False, False], ("place_can",))
    np.testing.assert_array_equal(store.array("action")[:2], [chunk[0] for chunk in chunks])
    np.testing.assert_array_equal(store.array("action.chunk")[:2], chunks)
    np.testing.assert_array_equal(
        store.array("observation.images.wrist")[1], observation(1)["observation.images.wrist"]
    )
    assert store.array("executed.steps")[:].tolist() == [8, 0, 0, 0]
    assert store.meta["info"][2]["ended"] == "the client left"
    assert store.meta["provenance"]["lineage"]["command"] == "by hand"
