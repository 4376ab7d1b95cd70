"""LeRobot's asynchronous server with our policy: a real client asks over loopback and gets the policy's own chunk."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

grpc = pytest.importorskip("grpc", reason="grpcio is not installed (extra `async` of the plugin)")
pytest.importorskip("lerobot")
pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_client_gets_the_policys_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # LeRobot's server writes its log to the current folder
    from lerobot.async_inference.configs import PolicyServerConfig
    from lerobot.async_inference.helpers import RemotePolicyConfig, TimedObservation
    from lerobot.policies import get_policy_class
    from lerobot.transport import services_pb2, services_pb2_grpc
    from lerobot.transport.utils import grpc_channel_options, send_bytes_in_chunks
    from lerobot_policy_worldmodel import serve
    from lerobot_policy_worldmodel.convert import to_lerobot
    from small import small_given, small_model

    from worldmodel import checkpoint
    from worldmodel.schema import STATE, image_key

    checkpoint.save(small_model(), tmp_path / "native", {})
    to_lerobot(str(tmp_path / "native"), tmp_path / "lerobot")
    frame = {"dtype": "image", "shape": (32, 32, 3), "names": ["height", "width", "channels"]}
    features = {image_key("scene"): frame, image_key("wrist"): frame}
    features[STATE] = {"dtype": "float32", "shape": (4,), "names": ["x", "y", "z", "width"]}
    given = small_given(1)
    seen = {"scene": given.images[0, 0].numpy(), "wrist": given.images[0, 1].numpy(), "task": "lift_can"}
    seen |= dict(zip(["x", "y", "z", "width"], given.state[0].tolist(), strict=True))

    port = free_port()
    server = serve.start(PolicyServerConfig(port=port, fps=20, inference_latency=0.0, obs_queue_timeout=10.0))
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}", grpc_channel_options()) as channel:
            client = services_pb2_grpc.AsyncInferenceStub(channel)
            client.Ready(services_pb2.Empty())
            asked = RemotePolicyConfig("worldmodel", str(tmp_path / "lerobot"), features, actions_per_chunk=10)
            client.SendPolicyInstructions(services_pb2.PolicySetup(data=pickle.dumps(asked)))
            chunks = []
            for step in (0, 5):  # the state has not moved by anything like 1, LeRobot's own threshold
                moment = pickle.dumps(TimedObservation(time.time(), step, seen))
                client.SendObservations(send_bytes_in_chunks(moment, services_pb2.Observation))
                torch.manual_seed(1)
                chunks.append(pickle.loads(client.GetActions(services_pb2.Empty()).data))  # noqa: S301  (our own)
    finally:
        server.stop(None)
    assert [len(chunk) for chunk in chunks] == [10, 10]
    assert [action.get_timestep() for action in chunks[1]] == list(range(5, 15))

    policy = get_policy_class("worldmodel").from_pretrained(tmp_path / "lerobot")
    batch = {image_key(n): torch.as_tensor(seen[n]).movedim(-1, 0)[None].float() / 255 for n in ("scene", "wrist")}
    torch.manual_seed(1)
    expected = policy.predict_action_chunk({**batch, STATE: given.state, "task": "lift_can"})[0, :10]
    np.testing.assert_array_equal(torch.stack([action.get_action() for action in chunks[0]]), expected)


def test_no_other_machine_is_served() -> None:
    from lerobot.async_inference.configs import PolicyServerConfig
    from lerobot_policy_worldmodel import serve

    with pytest.raises(ValueError, match=r"host=0.0.0.0: the server unpickles what it is sent; .* 127.0.0.1 only"):
        serve.start(PolicyServerConfig(host="0.0.0.0", port=free_port()))


def test_the_command_serves_until_it_is_stopped(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "lerobot_policy_worldmodel.serve", f"--port={port}", "--fps=20"]
    with (tmp_path / "said").open("w") as said:
        server = subprocess.Popen(command, cwd=tmp_path, stdout=said, stderr=said)
    try:
        deadline = time.monotonic() + 300
        while True:
            assert server.poll() is None and time.monotonic() < deadline, (tmp_path / "said").read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
    finally:
        server.terminate()
        assert server.wait(30) != 0, "stopped by the signal"


def test_ctrl_c_ends_the_documented_command_without_a_traceback(tmp_path: Path) -> None:
    readme = Path(__file__).parents[2] / "plugins" / "lerobot_policy_worldmodel" / "README.md"
    line = next(line for line in readme.read_text().splitlines() if "lerobot_policy_worldmodel.serve" in line)
    port = free_port()
    words = line.replace("--port=8080", f"--port={port}").split()
    where = os.environ | {"PYTHONPATH": f"{readme.parent}:{os.environ.get('PYTHONPATH', '')}", "PYTHONUNBUFFERED": "1"}
    with (tmp_path / "said").open("w") as said:
        server = subprocess.Popen([sys.executable, *words[1:]], cwd=tmp_path, env=where, stdout=said, stderr=said)
    try:
        deadline = time.monotonic() + 200
        while f"127.0.0.1:{port}: serves" not in (tmp_path / "said").read_text():
            assert server.poll() is None and time.monotonic() < deadline, (tmp_path / "said").read_text()
            time.sleep(0.2)
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
    finally:
        server.kill()
    text = (tmp_path / "said").read_text()
    assert text.endswith("stopped\n") and "Traceback" not in text
