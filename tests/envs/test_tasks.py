"""Every task: starts vary and are unsolved, success is what its card says, and nothing else."""

import numpy as np
import pytest

from worldmodel.envs import TASKS, get_task, make
from worldmodel.envs.expert import Expert
from worldmodel.envs.scene import BIN, CAN_HALF_HEIGHT, MAX_WIDTH, TRAY
from worldmodel.envs.tasks import LIFT, REST, lifted, placed


@pytest.fixture(scope="module")
def env():
    env = make("place_can", render_images=False)
    env.reset(seed=0)
    return env


def put_can(env, x: float, y: float, z: float, speed: float = 0.0) -> None:
    """Teleports the can, upright, and lets the env look again."""
    scene = env.scene
    scene.data.qpos[scene.can_qpos : scene.can_qpos + 7] = [x, y, z, 1, 0, 0, 0]
    scene.data.qvel[scene.can_dof : scene.can_dof + 6] = [speed, 0, 0, 0, 0, 0]
    scene.refresh()


@pytest.mark.parametrize("task", TASKS)
def test_starts_vary_within_their_region_and_are_unsolved(task):
    env = make(task, render_images=False, privileged=True)
    cans, grippers = [], []
    for seed in range(30):
        env.reset(seed=seed)
        assert not env.success
        assert not env.task.holds(env.scene)
        assert env.scene.can_axis[2] == pytest.approx(1, abs=1e-3)
        assert env.scene.can_position[2] == pytest.approx(REST, abs=1e-3)
        assert np.linalg.norm(env.scene.can_velocity) < 0.01
        assert env.scene.width == pytest.approx(MAX_WIDTH, abs=1e-3)
        cans.append(env.scene.can_position[:2])
        grippers.append(env.scene.eef)
    assert (np.abs(np.array(cans) - [TRAY.x, TRAY.y]).max(axis=0) <= [0.101, 0.121]).all()
    assert (np.ptp(cans, axis=0) > [0.12, 0.15]).all()
    assert (np.ptp(grippers, axis=0) > [0.09, 0.09, 0.05]).all()


def test_placed_needs_inside_low_slow_and_released(env):
    put_can(env, BIN.x, BIN.y, REST)
    assert placed(env.scene)
    put_can(env, BIN.x + BIN.half_x + 0.005, BIN.y, REST)
    assert not placed(env.scene), "outside the walls"
    put_can(env, BIN.x, BIN.y, BIN.rim + CAN_HALF_HEIGHT + 0.005)
    assert not placed(env.scene), "above the rim"
    put_can(env, BIN.x, BIN.y, REST, speed=0.2)
    assert not placed(env.scene), "moving"
    put_can(env, TRAY.x, TRAY.y, REST)
    assert not placed(env.scene), "in the tray"


def test_lifted_needs_the_pads(env):
    put_can(env, *env.scene.eef[:2], REST + LIFT + 0.05)
    assert env.scene.touching == 0
    assert not lifted(env.scene), "a can in the air is not held"


def test_success_must_last():
    env = make("place_can", render_images=False)
    env.reset(seed=0)
    put_can(env, BIN.x, BIN.y, REST)
    away = np.append(env.scene.eef, -1.0)
    ends = [env.step(away)[1:3] for _ in range(env.task.hold_steps)]
    assert ends[:-1] == [(0.0, False)] * (env.task.hold_steps - 1)
    assert ends[-1] == (1.0, True)


def test_lowest_point_follows_the_tilt(env):
    put_can(env, TRAY.x, TRAY.y, 0.3)
    assert env.scene.can_bottom == pytest.approx(0.3 - CAN_HALF_HEIGHT)
    env.scene.data.qpos[env.scene.can_qpos + 3 : env.scene.can_qpos + 7] = [np.sqrt(0.5), np.sqrt(0.5), 0, 0]
    env.scene.refresh()
    assert env.scene.can_bottom == pytest.approx(0.3 - 0.03)


def test_unknown_task_names_the_closest():
    with pytest.raises(ValueError, match=r"unknown task 'lift'.*lift_can, place_can.*did you mean 'lift_can'"):
        get_task("lift")


def test_a_standing_can_stays_where_it_is(env):
    env.reset(seed=8)
    before = env.scene.can_position
    for _ in range(60):
        env.step(np.array([0.45, 0.1, 0.26, -1.0]))
    assert env.scene.can_position == pytest.approx(before, abs=2e-4)


def test_a_held_can_does_not_creep():
    env = make("lift_can", render_images=False)
    env.reset(seed=8)
    expert = Expert(env, 8)
    while not env.success:
        env.step(expert.act().executed)
    hold, before = np.append(env.scene.eef, 1.0), env.scene.eef - env.scene.can_position
    for _ in range(100):
        env.step(hold)
    assert env.scene.eef - env.scene.can_position == pytest.approx(before, abs=0.003)
