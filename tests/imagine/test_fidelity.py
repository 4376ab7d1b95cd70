"""Imagined rollouts beside the simulator: figures of frames whose answer is known."""

import numpy as np
import pytest
import torch

from worldmodel.imagine.fidelity import Truth, compare, lines, moving, summary
from worldmodel.imagine.pose import CENTRE, Pose, PoseReader


class Sees(PoseReader):
    """Reads the can 3 cm beside the middle and the gripper in it, held."""

    def read(self, frames: torch.Tensor) -> Pose:
        can, gripper, place = (torch.tensor([middle]).repeat(len(frames), 1) for middle in CENTRE)
        return Pose(can + torch.tensor([0.03, 0, 0]), gripper, place, torch.ones(len(frames)))


def test_pixels_near_a_change_move_and_others_do_not() -> None:
    first = np.zeros((12, 12, 3), np.uint8)
    then = first.copy()
    then[5, 5, 0], then[0, 11, 1] = 9, 8
    assert moving(first, then).sum() == 25 and moving(first, then)[3:8, 3:8].all()


def test_figures_of_two_rollouts() -> None:
    first = np.zeros((2, 1, 16, 16, 3), np.uint8)
    real, dreamt = first.copy(), first.copy()
    real[:, 0, 4:8, 4:8, 0] = 200  # the can's red comes into view
    dreamt[0] = real[0]
    dreamt[0, 0, 4, 4, 0] -= 30
    middle = np.array(CENTRE[0])[None].repeat(2, 0)
    truth = Truth(real, middle, np.array(CENTRE[1])[None].repeat(2, 0), np.array([True, False]))
    found = compare(first, dreamt, truth, Sees(1, 16))
    assert found.pixels.tolist() == [64, 64] and found.lost.tolist() == [False, True] and found.shown.all()
    np.testing.assert_allclose(found.error, [30**2 / 3, 16 * 200**2 / 3])
    np.testing.assert_allclose(found.copied, 16 * 200**2 / 3)
    np.testing.assert_allclose(found.can, 3, rtol=1e-5)
    assert found.held.tolist() == [True, False]
    row = summary({10: [found]})["10"]
    assert row["n"] == 2 and row["can_lost"][0] == 0.5 and row["can_cm"][0] == pytest.approx(3, abs=1e-3)
    assert row["can_near"][0] == 0 and row["gripper_cm"][0] == pytest.approx(0, abs=1e-3)
    mean = (30**2 / 3 + 16 * 200**2 / 3) / 128
    assert row["moving_db"][0] == pytest.approx(10 * np.log10(255**2 / mean), abs=1e-3)
    assert row["moving_db"][1] <= row["moving_db"][0] <= row["moving_db"][2]
    assert len(lines({"10": row})) == 2
