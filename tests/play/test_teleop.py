"""The hand, and the body that follows it where nobody imagines one."""

import numpy as np
import pytest

from worldmodel import envs
from worldmodel.play.teleop import DEAD, SPEED, LaggedBody, Teleop
from worldmodel.schema import STATE


def hand() -> Teleop:
    found = Teleop()
    found.place({STATE: np.array([0.5, 0.0, 0.2, 0.09], np.float32)})
    return found


def test_a_hand_moves_while_it_is_told_to_and_rests_when_nothing_is_heard() -> None:
    driver = hand()
    driver.drive((1.0, 0.0, 0.0), False, now=10.0)
    first, second = driver.action(10.05), driver.action(10.1)
    np.testing.assert_allclose([first[0], second[0]], [0.5 + SPEED / 20, 0.5 + SPEED / 10], atol=1e-6)
    assert driver.action(10.0 + DEAD + 0.1)[0] == pytest.approx(second[0])
    assert first[3] == -1


def test_a_tap_between_two_steps_moves_one_step() -> None:
    driver = hand()
    driver.drive((0.0, 0.0, 1.0), True, now=0.0)
    driver.drive((0.0, 0.0, 0.0), True, now=0.01)
    heights = [float(driver.action(0.05 * k)[2]) for k in (1, 2, 3)]
    np.testing.assert_allclose(heights, [0.2 + SPEED / 20] * 3, atol=1e-6)


def test_diagonals_are_no_faster_and_the_workspace_ends_somewhere() -> None:
    driver = hand()
    driver.drive((1.0, 1.0, 1.0), False, now=0.0)
    moved = driver.action(0.0)[:3] - [0.5, 0.0, 0.2]
    assert np.linalg.norm(moved) == pytest.approx(SPEED / 20, abs=1e-6)
    for k in range(100):
        driver.drive((1.0, 1.0, 1.0), False, now=0.05 * k)
        driver.action(0.05 * k)
    np.testing.assert_allclose(driver.target, [0.66, 0.25, 0.30], atol=1e-6)


def test_a_closed_gripper_stays_closed() -> None:
    driver = Teleop()
    driver.place({STATE: np.array([0.5, 0.0, 0.2, 0.066], np.float32)})
    assert driver.action(0.0)[3] == 1
    driver.follow(np.array([0.4, 0.1, 0.1, -1.0]))
    np.testing.assert_allclose(driver.action(0.0), [0.4, 0.1, 0.1, -1.0], atol=1e-6)


def test_the_lag_is_that_of_the_real_arm() -> None:
    """Half a second of driving and closing in the air, as MuJoCo does it and as the lag says: within 5 mm."""
    env = envs.make("place_can", render_images=False)
    seen, _ = env.reset(seed=3)
    body, driver = LaggedBody(seen[STATE]), Teleop()
    driver.place(seen)
    for k in range(10):
        driver.drive((0.0, 1.0, 0.4), k > 4, now=0.05 * k)
        action = driver.action(0.05 * k)
        seen = env.step(action)[0]
        body.step(action)
    assert np.abs(body.state - seen[STATE]).max() < 0.005
    assert np.linalg.norm(body.state[:3] - env.reset(seed=3)[0][STATE][:3]) > 0.05
