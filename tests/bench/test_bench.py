"""The bench measures what it says: with a policy that knows the future, with a tiny store, and in one process."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import small_store

from worldmodel.bench import BenchConfig
from worldmodel.bench.imagining import imagine
from worldmodel.bench.simulating import simulate
from worldmodel.schema import ACTION, EXECUTED, STATE, Episode, image_key

CAMERAS, SIZE, STEPS = ("scene", "wrist"), 8, 30


@pytest.fixture
def episode() -> Episode:
    """One whose frames change at every step and whose executed actions name the step."""
    random = np.random.default_rng(0)
    count = np.arange(STEPS, dtype=np.float32)[:, None].repeat(4, 1)
    frames = {image_key(c): random.integers(0, 256, (STEPS, SIZE, SIZE, 3)).astype(np.uint8) for c in CAMERAS}
    return Episode({**frames, STATE: count, ACTION: -count, EXECUTED: count}, "lift_can", 0, True)


class Seer:
    """Looks the future up by the step that the state and the executed actions name."""

    horizon = 16

    def __init__(self, episode: Episode, late: int = 0) -> None:
        self.episode, self.late = episode, late

    def imagine(self, observed: Any, actions: np.ndarray, steps: list[int]) -> dict[str, np.ndarray]:
        starts = observed[STATE][:, 0].astype(int)
        assert (actions[:, :, 0] == starts[:, None] + np.arange(self.horizon)).all()
        rows = np.array(steps)[None] + starts[:, None] - self.late
        return {image_key(camera): self.episode.arrays[image_key(camera)][rows] for camera in CAMERAS}


def test_frames_are_compared_at_the_moment_they_were_imagined_for(episode: Episode) -> None:
    found = imagine(Seer(episode), CAMERAS, [episode])
    assert [row["steps_ahead"] for row in found["psnr"]] == list(range(1, 17))
    assert all(row["imagined"] > 90 > 20 > row["copy_last_frame"] for row in found["psnr"])
    assert found["above_copy_at_every_step"] and found["moments"] == 2 and found["episodes"] == 1


def test_a_late_guess_is_no_better_than_a_copy(episode: Episode) -> None:
    found = imagine(Seer(episode, late=1), CAMERAS, [episode])
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
    from worldmodel.bench import training

    def train(config: Any) -> None:
        rows = [{"step": 10 * n, "samples_per_second": speed} for n, speed in enumerate((1.0, 2.0, 30.0, 50.0, 40.0))]
        Path(config.out).mkdir()
        (Path(config.out) / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert (config.modes.policy, config.modes.video, config.steps, config.validation.every) == (1, 0, 50, 0)

    monkeypatch.setattr(training, "train", train)
    found = training.train_speed(tmp_path / "store", tmp_path / "run", steps=50)
    assert (found["samples_per_second"], found["slowest"], found["fastest"]) == (40.0, 30.0, 50.0)


def test_arms_take_turns_at_whole_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from worldmodel.bench import arms

    small_store(tmp_path / "store")
    monkeypatch.setattr(arms, "KINDS", ("flow", "self_flow"))
    found = arms.compare_arms(tmp_path / "store", tmp_path / "runs", rounds=2, batch=2)
    assert found["arms"]["flow"]["ratio"] == 1.0 and found["arms"]["self_flow"]["ratio"] > 0, "how much is no test's"
    assert all(arm["seconds"] > 0 and arm["cpu_seconds"] > 0 for arm in found["arms"].values())


def test_streams_are_timed_by_size_steps_and_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from worldmodel.bench import bench, streaming

    monkeypatch.setattr(streaming, "SIZES", ("nano",))
    monkeypatch.setattr(streaming, "STEPS", (1, 4))
    monkeypatch.setattr(streaming, "WARM", 1)
    timed = streaming.stream_speed
    monkeypatch.setattr("worldmodel.bench.verb.stream_speed", lambda threads: timed(threads, frames=3))
    assert bench(BenchConfig(out=str(tmp_path), parts=("streaming",), threads=1)) == 0
    rows = json.loads((tmp_path / "bench.json").read_text())["streaming"]["rows"]
    assert [(row["size"], row["threads"], row["steps"]) for row in rows if row["device"] == "cpu"] == [
        ("nano", 1, 1),
        ("nano", 1, 4),
    ]
    assert all(row["cpu_ms"] > 0 and row["frames_per_second"] > 0 for row in rows)
    assert len(streaming.table({"rows": rows}).splitlines()) == 2 + len(rows)
