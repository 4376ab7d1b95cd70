"""Policies evaluated in a world model: the loop, the judge, and the command."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from worldmodel.cli import main
from worldmodel.config import UserError
from worldmodel.imagine import judge as judging
from worldmodel.imagine.judge import Judge
from worldmodel.imagine.pose import Pose, PoseReader, load_pose_reader
from worldmodel.imagine.slots import ImaginedSlots
from worldmodel.rollout.loop import BatchedRollout, EpisodeResult
from worldmodel.sims.base import InitialState, SimulatorSpec
from worldmodel.sims.can.scene import load_scene
from worldmodel.sims.can.tasks import LIFT, REST


class Told(PoseReader):
    """Says what it is told."""

    pose: Pose

    def read(self, frames: torch.Tensor) -> Pose:
        return self.pose


def pose(can: tuple[float, float, float], held: float) -> Pose:
    return Pose(torch.tensor([can]), torch.tensor([can]), torch.tensor([[0.5, 0.1]]), torch.tensor([held]))


@pytest.fixture
def red() -> torch.Tensor:
    frames = torch.zeros(1, 2, 96, 96, 3, dtype=torch.uint8)
    frames[:, 0, :10, :10, 0] = 200
    return frames


def judged(task: str, poses: list[Pose], frames: torch.Tensor) -> bool:
    reader = Told()
    reader.pose = poses[0]
    judge = Judge(task, reader, 1, 20)
    judge.begin(0, frames[0])
    for reader.pose in poses:
        judge.update(frames)
    return bool(judge.success[0])


def test_a_can_that_lies_still_in_the_bin_is_placed(red: torch.Tensor) -> None:
    box = load_scene("can").bin
    inside = (box.x, box.y, REST)
    assert judged("place_can", [pose(inside, 0.1)] * 5, red)
    assert not judged("place_can", [pose(inside, 0.1)] * 4, red), "for five steps"
    assert not judged("place_can", [pose(inside, 0.9)] * 9, red), "held"
    assert not judged("place_can", [pose((box.x + 0.2, box.y, REST), 0.1)] * 9, red), "elsewhere"
    assert not judged("place_can", [pose(inside, 0.1)] * 9, torch.zeros_like(red)), "in no camera's view"
    moves = [pose((box.x, box.y + 0.004 * k, REST), 0.1) for k in range(9)]
    assert not judged("place_can", moves, red), "moving"


def test_a_can_that_is_held_high_is_lifted(red: torch.Tensor) -> None:
    high = (0.5, -0.1, REST + LIFT + 0.01)
    assert judged("lift_can", [pose(high, 0.9)] * 10, red)
    assert not judged("lift_can", [pose(high, 0.2)] * 10, red)
    assert not judged("lift_can", [pose((0.5, -0.1, REST), 0.9)] * 10, red)


class Still:
    """Stays where it is."""

    prefix = 0
    milliseconds = ()

    def act(self, seen: list, seeds: list, committed: object = None) -> list[np.ndarray]:
        assert all(set(one) >= {"observation.images.scene", "observation.state"} for one in seen)
        return [np.repeat(one["observation.state"][None], 16, 0) for one in seen]


def test_episodes_end_with_their_judge_and_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with ImaginedSlots("shipped", SimulatorSpec("place_can"), 2, steps=1) as slots:
        slots.limit = 24

        def update(self: Judge, frames: torch.Tensor) -> None:
            self.success |= slots.steps >= np.array([10, 100])

        monkeypatch.setattr(judging.Judge, "update", update)
        found: list[EpisodeResult] = []
        starts = [InitialState(n, n) for n in range(3)]
        BatchedRollout(Still(), slots, 8).run(starts, found.append)
    by_start = {result.start.index: result for result in found}
    assert by_start[0].success and by_start[0].steps == 11
    assert not by_start[1].success and by_start[1].steps == 24
    assert by_start[2].success and by_start[2].steps == 11, "the third takes the first's place"


def test_evaluate_in_a_dream(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", "where=dream", "episodes=1", "batch=1", "videos=0", f"out={tmp_path}", "task=lift_can"]
    assert main(words) == 0
    assert "lift_can imagined by shipped: " in capsys.readouterr().out
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["where"] == "imagined by shipped" and report["episodes"] == 1


def test_what_cannot_be_imagined_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be judged from frames"):
        ImaginedSlots("shipped", SimulatorSpec("gym:Reacher-v5"), 1)
    with pytest.raises(UserError, match="choose a policy with the same cameras"):
        ImaginedSlots("shipped", SimulatorSpec("place_can", size=64), 1)
    with pytest.raises(UserError, match="no weights of a pose reader"):
        load_pose_reader(tmp_path / "none")
