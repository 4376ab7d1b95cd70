"""`worldmodel serve` as a process: its one line, signals, what is no option, and what a kill leaves."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from policy_serving import observation
from small import small_model

from worldmodel import checkpoint
from worldmodel.client import Client
from worldmodel.config import UserError
from worldmodel.data import EpisodeStore, InterruptedStoreError
from worldmodel.data.verification import verify
from worldmodel.listen import bind
from worldmodel.serve.command import ServeConfig, serve

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(checkpoint.save(small_model(), tmp_path_factory.mktemp("serve") / "model", {}))


@contextmanager
def process(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running `worldmodel serve` and the first line that it prints."""
    command = [sys.executable, "-m", "worldmodel.cli", "serve", *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = subprocess.Popen(command, cwd=ROOT, **pipes)
    try:
        assert running.stdout is not None
        yield running, running.stdout.readline().rstrip("\n")
    finally:
        running.kill()
        running.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_its_address_and_stops_when_told(number: signal.Signals) -> None:
    with process("checkpoint=shipped", "task=place_can", "port=0") as (running, address), Client(address) as client:
        assert client.act(observation(size=96)).shape == (client.metadata["horizon"], 4)
        running.send_signal(number)
        said, complained = running.communicate(timeout=30)
    assert (running.returncode, said) == (0, ""), "nothing but the address"
    assert "closed after 1 answers" in complained and "Traceback" not in complained


def test_what_is_stored_survives_a_kill_and_is_gone_on_with(model: str, tmp_path: Path) -> None:
    options = (f"checkpoint={model}", "port=0", f"record={tmp_path / 'store'}")
    with process(*options) as (running, address), Client(address) as client:
        for _ in range(3):
            client.act(observation())
            stored = client.reset(success=True)
        client.act(observation())
        running.kill()
        running.wait()
    assert stored == 2
    with pytest.raises(InterruptedStoreError):
        EpisodeStore.open(tmp_path / "store")
    with process(*options) as (running, address):
        with Client(address) as client:
            client.act(observation())
            assert client.reset() == 3
        running.terminate()
        assert "4 episodes in" in running.communicate(timeout=30)[1]
    assert EpisodeStore.open(tmp_path / "store").success.tolist() == [True] * 3 + [False]
    assert not verify(tmp_path / "store")
    with pytest.raises(UserError, match=r"record=.*already exists"):
        serve(ServeConfig(checkpoint=model, port=0, record=str(tmp_path / "store")))


def test_another_policys_recording_is_not_gone_on_with(model: str, tmp_path: Path) -> None:
    EpisodeStore.create(tmp_path / "store", {"recipe": {"served": "another"}}).close()
    with pytest.raises(UserError, match="was recorded from another policy or task"):
        serve(ServeConfig(checkpoint=model, port=0, record=str(tmp_path / "store")))


def test_what_cannot_be_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLDMODEL_TOKEN", raising=False)
    with bind(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port={port}: taken by another program"):
            serve(ServeConfig(port=port))
    with pytest.raises(UserError, match=r"host=0.0.0.0: anyone who reaches it .* set the variable WORLDMODEL_TOKEN"):
        serve(ServeConfig(port=0, host="0.0.0.0"))
    with pytest.raises(UserError, match=r"host=nowhere.invalid: is no address of this machine"):
        serve(ServeConfig(port=0, host="nowhere.invalid", token="only-for-robots"))
    with pytest.raises(UserError, match="token: expected at least 8"):
        serve(ServeConfig(port=0, token="short"))
    with pytest.raises(UserError, match="task=place_cam: checkpoint shipped was trained for"):
        serve(ServeConfig(port=0, task="place_cam"))
    with pytest.raises(ValueError, match="deadline=0: expected seconds above 0"):
        ServeConfig(deadline=0)
    with pytest.raises(ValueError, match="port=70000"):
        ServeConfig(port=70000)


def test_the_whole_way_in_a_simulator(tmp_path: Path) -> None:
    """The docs' ten lines, with our own simulator for a robot: the shipped policy picks up the can."""
    from worldmodel.client import RealTimeClient
    from worldmodel.evaluate.initial_states import Starts, find
    from worldmodel.sims.can import make

    env = make("place_can", size=96)
    start = Starts.load(find("validation", "place_can")).first(1)[0]
    with process("port=0") as (_, address), RealTimeClient(address, delay=2) as robot:
        seen, _ = env.reset(options={"state": start.state})
        for _ in range(300):
            seen, _, solved, over, _ = env.step(robot.step(seen))
            if solved or over:
                break
    env.close()
    assert solved
