"""The bench measures what it says: with a policy that knows the future, with a tiny store, and in one process."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import CONFIG, small_store
from torch import Tensor

from research.bench import peers
from research.bench.command import BenchConfig, bench
from research.bench.imagining import psnr_by_step
from research.bench.simulating import simulate
from worldmodel.data import EpisodeStore
from worldmodel.imagine.modes import open_clips
from worldmodel.model import Given, WorldModel
from worldmodel.schema import ACTION, EXECUTED, STATE, Episode, image_key


class Seer(WorldModel):
    """Looks the future up by the step that the state and the executed actions name."""

    def __init__(self, store: EpisodeStore, late: int = 0) -> None:
        super().__init__(CONFIG)
        self.store, self.late = store, late

    def imagine(self, given: Given, at: Tensor, steps: int = 2, generator: Any = None) -> Tensor:
        starts = given.state[:, 0].long()
        assert given.actions is not None
        assert (given.actions[:, :, 0] == starts[:, None] + torch.arange(16)).all()
        rows = at + starts.repeat_interleave(len(at) // len(starts))[:, None] - self.late
        frames = [self.store.array(image_key(camera)).take(rows.numpy()) for camera in CONFIG.cameras]
        return torch.as_tensor(np.stack(frames, axis=2))


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    """One episode whose frames change at every step and whose executed actions name the step."""
    random = np.random.default_rng(0)
    count = np.arange(30, dtype=np.float32)[:, None].repeat(4, 1)
    frames = {image_key(c): random.integers(0, 256, (30, 32, 32, 3)).astype(np.uint8) for c in CONFIG.cameras}
    writer = EpisodeStore.create(tmp_path / "store", {"licence": "Apache-2.0"})
    arrays = {**frames, STATE: count, ACTION: -count, EXECUTED: count}
    writer.append(Episode(arrays, "lift_can", 0, True))
    writer.seal()
    return EpisodeStore.open(tmp_path / "store")


def test_frames_are_compared_at_the_moment_they_were_imagined_for(store: EpisodeStore) -> None:
    found = psnr_by_step(Seer(store), open_clips(CONFIG, str(store.path)))
    assert [row["steps_ahead"] for row in found["psnr"]] == list(range(1, 17))
    assert all(row["imagined"] > 90 > 20 > row["copy_last_frame"] for row in found["psnr"])
    assert found["above_copy_at_every_step"] and found["moments"] == 2 and found["episodes"] == 1


def test_a_late_guess_is_no_better_than_a_copy(store: EpisodeStore) -> None:
    found = psnr_by_step(Seer(store, late=1), open_clips(CONFIG, str(store.path)))
    assert found["psnr"][0]["imagined"] == found["psnr"][0]["copy_last_frame"]
    assert not found["above_copy_at_every_step"]


def test_simulators_are_timed() -> None:
    found = simulate("lift_can", size=32, processes=2, seconds=0.2, timeout=120)
    assert found["steps_per_second"] > 1 and found["processes"] == 2


def test_a_simulator_that_cannot_start_is_told() -> None:
    with pytest.raises(OSError, match="worldmodel doctor"):
        simulate("no_such_task", size=32, processes=1, seconds=0.1, timeout=60)


@pytest.mark.parametrize(
    ("values", "message"), [({"parts": ("akt",)}, "did you mean 'act'"), ({"seconds": 0.0}, "more than 0")]
)
def test_bad_values(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BenchConfig(out="x", **values)


@pytest.mark.timeout(600)
def test_training_speed_through_the_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from research.bench import training

    def train(config: Any) -> None:
        rows = [{"step": 10 * n, "samples_per_second": speed} for n, speed in enumerate((1.0, 2.0, 30.0, 50.0, 40.0))]
        Path(config.out).mkdir()
        (Path(config.out) / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert (config.modes.policy, config.modes.video, config.steps, config.validation.every) == (1, 0, 50, 0)

    monkeypatch.setattr(training, "train", train)
    found = training.train_speed(tmp_path / "store", tmp_path / "run", steps=50)
    assert (found["samples_per_second"], found["slowest"], found["fastest"]) == (40.0, 30.0, 50.0)


def test_objectives_take_turns_at_whole_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from research.bench import objectives

    small_store(tmp_path / "store")
    monkeypatch.setattr(objectives, "KINDS", ("flow", "self_flow"))
    found = objectives.compare_objectives(tmp_path / "store", tmp_path / "runs", rounds=2, batch=2)
    assert found["objectives"]["flow"]["ratio"] == 1.0 and found["objectives"]["self_flow"]["ratio"] > 0, (
        "how much is no test's"
    )
    assert all(cost["seconds"] > 0 and cost["cpu_seconds"] > 0 for cost in found["objectives"].values())


def test_streams_are_timed_by_size_steps_and_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from research.bench import streaming
    from research.bench.command import bench

    monkeypatch.setattr(streaming, "SIZES", ("nano",))
    monkeypatch.setattr(streaming, "STEPS", (1, 4))
    monkeypatch.setattr(streaming, "WARM", 1)
    timed = streaming.stream_speed
    monkeypatch.setattr("research.bench.command.stream_speed", lambda threads: timed(threads, frames=3))
    assert bench(BenchConfig(out=str(tmp_path), parts=("streaming",), threads=1)) == 0
    rows = json.loads((tmp_path / "bench.json").read_text())["streaming"]["rows"]
    assert [(row["size"], row["threads"], row["steps"]) for row in rows if row["device"] == "cpu"] == [
        ("nano", 1, 1),
        ("nano", 1, 4),
    ]
    assert all(row["cpu_ms"] > 0 and row["frames_per_second"] > 0 for row in rows)
    assert len(streaming.table({"rows": rows}).splitlines()) == 2 + len(rows)


def test_acting_is_timed_both_ways_in_one_run(tmp_path: Path) -> None:
    assert bench(BenchConfig(out=str(tmp_path), parts=("act",), threads=1)) == 0
    found = json.loads((tmp_path / "bench.json").read_text())["act"]
    assert found["runtime"] == "onnxruntime" and found["n"] == 100
    assert found["p50"] > 0 and found["eager_p50"] > 0 and found["ratio"] > 0


def test_peers_are_measured_in_processes_of_their_own(store: EpisodeStore, tmp_path: Path, monkeypatch: Any) -> None:
    small = {"dim_model": 64, "n_heads": 4, "dim_feedforward": 64, "chunk_size": 16, "n_action_steps": 8}
    monkeypatch.setattr(peers, "PEERS", {"ACT": ("act", small), "Unknown": ("no_such_policy", {})})
    monkeypatch.setattr(
        peers, "_alone", lambda job: peers.measure(job) if job["name"] == "ACT" else {"why": "not here"}
    )
    found = peers.compare_peers(store.path, tmp_path, "shipped", threads=1, seconds=0.01)["policies"]
    assert found["ACT"]["chunk"] == 16 and found["ACT"]["p50"] > 0 and found["ACT"]["samples_per_core_second"] > 0
    assert found["ACT"]["act_memory_mb"] > 0 and found["Unknown"] == {"why": "not here"}
    table = peers.peers_table({"policies": found})
    assert "ACT" in table and "not here" in table


def test_a_peer_that_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    found = peers._alone(
        {"threads": 1, "seconds": 0.01, "name": peers.OURS, "what": "act", "checkpoint": str(tmp_path)}
    )
    assert "no model.json in it" in found["why"]
