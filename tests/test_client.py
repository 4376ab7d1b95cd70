"""The robot's side: one file that stands alone, and a real-time client that does what a delayed rollout does."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from policy_serving import POLICIES, observation, serving_policy
from small import CONFIG, small_model

from worldmodel import checkpoint, client
from worldmodel.client import Client, RealTimeClient, ServerError, pack

FILE = Path(client.__file__)


def test_it_needs_numpy_msgpack_websockets_and_an_old_python() -> None:
    tree = ast.parse(FILE.read_text(), feature_version=(3, 9))
    roots = {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    roots |= {name.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert roots - sys.stdlib_module_names == {"numpy", "msgpack", "websockets"}
    assert not any(isinstance(node, ast.Match) for node in ast.walk(tree))
    assert ".zip(" not in FILE.read_text() and "strict=" not in FILE.read_text()
    code = "import sys, worldmodel.client; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {name for name in loaded if name.split(".")[0] == "worldmodel"}
    assert ours == {"worldmodel", "worldmodel.client", "worldmodel.lazy"} and "torch" not in loaded


def test_a_copy_of_the_file_is_enough(tmp_path: Path) -> None:
    (tmp_path / "wire.py").write_text(FILE.read_text())
    spec = importlib.util.spec_from_file_location("wire", tmp_path / "wire.py")
    assert spec is not None and spec.loader is not None
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    for value in (np.arange(6, dtype=np.int16).reshape(2, 3), np.array(True), np.zeros((0, 4), np.float64)):
        back = copy.unpack(copy.pack({"a": value, "b": [1, None, "x"]}))
        np.testing.assert_array_equal(back["a"], value)
        assert back["a"].dtype == value.dtype and back["b"] == [1, None, "x"]
    assert copy.unpack(copy.pack({"a": np.arange(3, dtype=">f4")}))["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "value", [np.array([object()]), np.array(["x"]), np.array([1j]), object(), np.datetime64("now")]
)
def test_what_cannot_be_sent(value: Any) -> None:
    with pytest.raises(ValueError, match="cannot be sent"):
        pack({"a": value})


def test_nobody_there() -> None:
    with pytest.raises(ConnectionError, match=r"ws://127.0.0.1:1: no policy server answers"):
        Client("ws://127.0.0.1:1", timeout=1)


def test_a_server_that_went_away(tmp_path: Path) -> None:
    with serving_policy(f"python:{POLICIES}:Counts") as (address, _):
        gone = Client(address)
    with pytest.raises(ConnectionError, match="connect again"):
        gone.act(observation())


@pytest.fixture(scope="module")
def continuing(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that takes up to 4 committed actions."""
    model = small_model()
    model.config = replace(CONFIG, prefix=4)
    return str(checkpoint.save(model, tmp_path_factory.mktemp("client") / "model", {}))


@pytest.mark.parametrize("delay", [0, 2, 4])
def test_real_time_is_the_delayed_rollout(continuing: str, delay: int) -> None:
    """Chunk k is asked for at step 8 k and carried out from ``delay`` steps later, continuing those before."""
    with serving_policy(continuing) as (address, _), Client(address) as plain:
        with RealTimeClient(address, delay=delay) as robot:
            done = np.stack([robot.step(observation(step)) for step in range(24)])
        committed, expected = None, []
        for ask in (0, 8, 16):
            more = {} if committed is None or not delay else {"committed": committed}
            chunk = plain.act(observation(ask), **more)
            if committed is not None:
                np.testing.assert_array_equal(chunk[: len(committed)], committed)
            expected += [*chunk[:8]]
            committed = chunk[8 : 8 + delay]
    np.testing.assert_array_equal(done, expected)


def test_it_never_waits_while_actions_are_left() -> None:
    with serving_policy(f"python:{POLICIES}:Slow") as (address, _), RealTimeClient(address) as robot:
        robot.step(observation())
        spent, due = [], []
        for step in range(40):
            began = time.monotonic()
            due.append(robot.due)
            robot.step(observation(step))
            spent.append(time.monotonic() - began)
            time.sleep(max(0.0, 0.05 - spent[-1]))
    assert robot.waits == 0 and max(spent) < 0.15, "a policy of 0.3 s, steps of 0.05 s"
    assert 2 <= sum(due) <= 5, "frames are wanted now and then only"


def test_it_waits_where_none_is_left_and_says_so() -> None:
    with serving_policy(f"python:{POLICIES}:Slow") as (address, _), RealTimeClient(address) as robot:
        numbers = [int(robot.step(observation())[0]) for _ in range(40)]
    assert robot.waits >= 2 and numbers == sorted(numbers)


def test_a_refused_request_costs_nothing_while_actions_are_left(continuing: str) -> None:
    broken = {**observation(), "observation.state": np.full(4, np.nan)}
    with serving_policy(continuing) as (address, _), RealTimeClient(address, delay=2) as robot:
        for step in range(8):
            robot.step(observation(step))
        robot.step(broken)
        for _ in range(3):
            robot.step(observation())
        assert robot.failed == 1
        with pytest.raises(ServerError, match="not finite"):
            for _ in range(20):
                robot.step(broken)
        robot.reset()
        robot.step(observation())


def test_a_delay_that_a_chunk_does_not_reach(continuing: str) -> None:
    with serving_policy(continuing) as (address, _):  # noqa: SIM117
        with pytest.raises(ValueError, match="delay=5: a chunk has 16 steps, expected a delay of 0 to 4"):
            RealTimeClient(address, n_action_steps=12, delay=5)


OPENPI = os.environ.get("OPENPI_PYTHON")
"""A Python of its own with openpi-client, which needs NumPy below 2."""
SCRIPT = """
import sys
import numpy as np
from openpi_client.websocket_client_policy import WebsocketClientPolicy
from openpi_client.action_chunk_broker import ActionChunkBroker

policy = WebsocketClientPolicy(port=int(sys.argv[1]), api_key="only-for-robots")
told = policy.get_server_metadata()
seen = {k: np.zeros(v["shape"], v["dtype"]) for k, v in told["observation"].items()}
assert policy.infer({**seen, "prompt": "pick up the can"})["actions"].shape == (16, 4)
try:
    policy.infer({})
except RuntimeError as error:
    assert "lacks" in str(error) and "Traceback" not in str(error)
broker = ActionChunkBroker(policy, told["n_action_steps"])
assert [broker.infer(seen)["actions"].shape for _ in range(20)] == [(4,)] * 20
print("fine")
"""


@pytest.mark.skipif(not OPENPI, reason="OPENPI_PYTHON names no Python with openpi-client")
def test_openpis_published_client(continuing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDMODEL_TOKEN", "only-for-robots")
    with serving_policy(continuing) as (address, _):
        command = [str(OPENPI), "-c", SCRIPT, address.rpartition(":")[2]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == "fine\n", done.stderr
