"""Every task: starts vary and are unsolved, success is what its card says, and nothing else."""

from xml.etree import ElementTree

import numpy as np
import pytest

from worldmodel.assets import asset
from worldmodel.sims.can import TASKS, get_task, make
from worldmodel.sims.can.expert import Expert
from worldmodel.sims.can.scene import CAN_HALF_HEIGHT, CAN_RADIUS, MAX_WIDTH, Box
from worldmodel.sims.can.tasks import LIFT, REST, lifted, placed


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


def test_the_plain_scene_is_where_it_always_was(env):
    assert env.scene.bin == Box(x=0.5, y=0.155, half_x=0.074, half_y=0.074, rim=0.05)
    assert env.scene.sha256.startswith("54cf0ecad72d9fbd"), "frozen starts and stores hold this scene"
    assert not env.scene.bin_moves


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
        assert env.scene.tray.outside(*cans[-1]) < -CAN_RADIUS, "the can leans on the tray's wall"
    assert (np.ptp(cans, axis=0) > [0.12, 0.15]).all()
    assert (np.ptp(grippers, axis=0) > [0.09, 0.09, 0.05]).all()


def test_placed_needs_inside_low_slow_and_released(env):
    box, tray = env.scene.bin, env.scene.tray
    put_can(env, box.x, box.y, REST)
    assert placed(env.scene)
    put_can(env, box.x + box.half_x + 0.005, box.y, REST)
    assert not placed(env.scene), "outside the walls"
    put_can(env, box.x, box.y, box.rim + CAN_HALF_HEIGHT + 0.005)
    assert not placed(env.scene), "above the rim"
    put_can(env, box.x, box.y, REST, speed=0.2)
    assert not placed(env.scene), "moving"
    put_can(env, tray.x, tray.y, REST)
    assert not placed(env.scene), "in the tray"


def test_placed_means_the_bin_where_it_stands_now():
    env = make("place_can_anywhere", render_images=False)
    env.reset(seed=0)
    before = env.scene.bin
    put_can(env, before.x, before.y, REST)
    assert placed(env.scene)
    env.scene.furnish(np.array([before.x, before.y + 0.12]), np.full((3, 5), np.nan))
    env.scene.refresh()
    assert env.scene.bin == Box(before.x, before.y + 0.12, 0.06, 0.06, 0.05)
    assert not placed(env.scene)
    assert len(env.scene.things) == 0


def test_anywhere_draws_bin_and_things_apart_all_over_the_tray():
    env, bins, counts = make("place_can_anywhere", render_images=False), [], set()
    for seed in range(40):
        env.reset(seed=seed)
        can, box, things = env.scene.can_position[:2], env.scene.bin, env.scene.things
        bins.append([box.x, box.y])
        counts.add(len(things))
        assert box.outside(*can) > 0.06, "a can's radius and more from the bin's outer wall"
        assert all(np.linalg.norm(spot - can) >= 0.09 and box.outside(*spot) > 0.05 for spot in things)
        assert env.scene.tray.outside(*bins[-1]) < -0.07, "the bin stands in the tray's wall"
    assert (np.ptp(bins, axis=0) > [0.12, 0.2]).all()
    assert counts == {1, 2, 3}


def test_both_scenes_have_one_arm_and_one_can():
    plain, anywhere = (ElementTree.parse(asset(f"envs/{name}.xml")) for name in ("can", "can_anywhere"))
    for path in (
        "option",
        "visual",
        "asset",
        "worldbody/body[@name='base']",
        "worldbody/body[@name='can']",
        "actuator",
    ):
        left, right = (ElementTree.canonicalize(ElementTree.tostring(tree.find(path))) for tree in (plain, anywhere))
        assert left == right, path


def test_lifted_needs_the_pads(env):
    put_can(env, *env.scene.eef[:2], REST + LIFT + 0.05)
    assert env.scene.touching == 0
    assert not lifted(env.scene), "a can in the air is not held"


def test_success_must_last():
    env = make("place_can", render_images=False)
    env.reset(seed=0)
    put_can(env, env.scene.bin.x, env.scene.bin.y, REST)
    away = np.append(env.scene.eef, -1.0)
    ends = [env.step(away)[1:3] for _ in range(env.task.hold_steps)]
    assert ends[:-1] == [(0.0, False)] * (env.task.hold_steps - 1)
    assert ends[-1] == (1.0, True)


def test_lowest_point_follows_the_tilt(env):
    put_can(env, env.scene.tray.x, env.scene.tray.y, 0.3)
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
