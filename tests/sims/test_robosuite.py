"""robosuite itself, where it is installed: recorded actions lead to the recorded states, however they are told."""

import numpy as np
import pytest
from robomimic_replay import head_for, record, replay

from worldmodel.config import UserError
from worldmodel.data.formats import hdf5
from worldmodel.data.formats.conventions import OscPose, matrix_from_xyzw
from worldmodel.data.formats.robomimic import PANDA_SITE_IN_HAND
from worldmodel.sims.remote.process import DONE, home
from worldmodel.sims.robosuite.client import TASKS, RobosuiteConfig, RobosuiteEnv

pytest.importorskip("h5py")
installed = (home("robosuite") / DONE).exists()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not installed, reason="worldmodel env install robosuite")]
STEPS = 8


@pytest.fixture(scope="module", params=TASKS)
def env(request):
    env = RobosuiteEnv(RobosuiteConfig(request.param, horizon=STEPS))
    yield env
    env.close()


@pytest.fixture(scope="module")
def demo(env, tmp_path_factory):
    random = np.random.default_rng(0)
    demo = record(env, lambda _: np.append(random.uniform(-1, 1, 6), 1.0), 3, "demo_0")
    path = tmp_path_factory.mktemp("demos") / "one.hdf5"
    hdf5.write(path, head_for(env, STEPS), [demo])
    with hdf5.DemoFile(path) as file:
        return file.demo("demo_0")


def test_a_recording_is_complete(demo):
    shapes = {path: values.shape for path, values in demo.arrays.items()}
    assert shapes["actions"] == (STEPS, 7) and shapes["obs/agentview_image"] == (STEPS, 84, 84, 3)
    assert shapes["obs/robot0_eye_in_hand_image"] == (STEPS, 84, 84, 3)
    assert demo.arrays["obs/agentview_image"].std() > 10
    assert np.array_equal(demo.arrays["obs/agentview_image"][1:], demo.arrays["next_obs/agentview_image"][:-1])
    first, last = demo.arrays["obs/robot0_gripper_qpos"][[0, -1]]
    assert np.abs(last).sum() < np.abs(first).sum()  # +1 closes


def test_actions_lead_where_the_file_says(env, demo):
    assert replay(env, demo).max() == 0


def test_actions_lead_there_in_the_scene_of_the_file_too(env, demo):
    assert replay(env, demo, demo.attrs["model_file"]).max() == 0


def test_a_seed_is_one_start_and_a_state_all_there_is(env, demo):
    env.reset(seed=3)
    assert np.array_equal(env.flat, demo.arrays["states"][0])
    at_start = env.get_state()
    for action in demo.arrays["actions"][:4]:
        env.step(action)
    midway = env.get_state()
    for state, first in ((midway, 4), (at_start, 0)):
        env.reset(seed=99)
        assert not np.array_equal(env.flat, demo.arrays["states"][0])
        env.set_state(state)
        for t in range(first, STEPS - 1):
            seen = env.step(demo.arrays["actions"][t])[0]
            assert np.array_equal(env.flat, demo.arrays["states"][t + 1])
            assert np.array_equal(seen["observation.images.agentview"], demo.arrays["obs/agentview_image"][t + 1])


def test_absolute_targets_lead_to_the_same_states(env, demo):
    """The conversion of conventions, proved by robosuite's own controller taking absolute poses."""
    site = matrix_from_xyzw(demo.arrays["obs/robot0_eef_quat_site"])
    targets = OscPose(frame="world").targets(demo.arrays["actions"], demo.arrays["obs/robot0_eef_pos"], site, np.eye(3))
    env.reset(seed=3)
    env.step(demo.arrays["actions"][0])  # robosuite forms the first goal from where the arm was before it was placed
    state = env.get_state()
    absolute = RobosuiteEnv(RobosuiteConfig(env.config.task, actions="absolute"))
    absolute.reset(seed=0)
    absolute.set_state(state)
    for t in range(1, STEPS - 1):
        absolute.step(targets[t])
        np.testing.assert_allclose(absolute.flat, demo.arrays["states"][t + 1], atol=1e-4)  # quaternions are float32
    absolute.close()


def test_the_site_is_a_quarter_turn_off_the_hand(demo):
    hand = matrix_from_xyzw(demo.arrays["obs/robot0_eef_quat"])
    site = matrix_from_xyzw(demo.arrays["obs/robot0_eef_quat_site"])
    np.testing.assert_allclose(hand @ PANDA_SITE_IN_HAND, site, atol=1e-5)
    assert demo.arrays["obs/robot0_eef_quat"][0].shape == (4,)


def test_one_line_errors(env):
    with pytest.raises(UserError, match="did you mean 'Lift'"):
        RobosuiteEnv(RobosuiteConfig("Lit"))
    with pytest.raises(UserError, match="did you mean 'agentview'"):
        RobosuiteEnv(RobosuiteConfig("Lift", cameras=("agentvew",)))
    with pytest.raises(ValueError, match=r"expected \(7,\) finite"):
        env.step(np.full(7, np.nan))
    with pytest.raises(UserError, match="refused 'set_state'"):
        env.set_state(np.zeros(5))
