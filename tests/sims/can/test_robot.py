"""The Gymnasium face: determinism, state, bad input; what dreams promise too is in test_contract.py."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from worldmodel.schema import ENVIRONMENT_STATE, STATE, image_key
from worldmodel.sims.can import TASKS, RobotEnv, make, state_hash
from worldmodel.sims.can.arm import MAX_STEP
from worldmodel.sims.can.scene import WORKSPACE_HIGH, WORKSPACE_LOW

IDS = {
    "lift_can": "worldmodel/LiftCan-v0",
    "place_can": "worldmodel/PlaceCan-v0",
    "place_can_anywhere": "worldmodel/PlaceCanAnywhere-v0",
}
WAVES = [np.array([0.5 + 0.1 * np.sin(i / 5), 0.15 * np.cos(i / 5), 0.2, -1.0]) for i in range(12)]


@pytest.fixture
def blind():
    env = make("place_can", render_images=False, privileged=True)
    env.reset(seed=5)
    yield env
    env.close()


def play(env: RobotEnv, actions: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
    return [env.step(action)[0] for action in actions]


def same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    return left.keys() == right.keys() and all(np.array_equal(left[key], right[key]) for key in left)


@pytest.mark.filterwarnings("ignore:.*symmetric and normalized.*")
@pytest.mark.parametrize("task", TASKS)
def test_gymnasium_accepts_every_task(task):
    env = gymnasium.make(IDS[task], size=32, render_mode="rgb_array")
    check_env(env.unwrapped)
    assert env.unwrapped.task is TASKS[task]
    assert env.metadata["render_fps"] == 20
    env.close()


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_vector_envs(mode):
    arguments = {"vector_kwargs": {"context": "spawn"}} if mode == "async" else {}
    envs = gymnasium.make_vec(IDS["place_can"], num_envs=2, vectorization_mode=mode, size=32, **arguments)
    observation, _ = envs.reset(seed=[3, 4])
    alone = make("place_can", size=32)
    assert np.array_equal(observation[image_key("scene")][1], alone.reset(seed=4)[0][image_key("scene")])
    observation, reward, *_ = envs.step(np.tile([0.5, 0, 0.2, -1], (2, 1)).astype(np.float32))
    assert observation[image_key("wrist")].shape == (2, 32, 32, 3)
    assert reward.shape == (2,)
    envs.close()
    alone.close()


def test_observation_keys_shapes_and_dtypes():
    env = make("place_can", size=48, privileged=True)
    observation, info = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    assert {key: (value.shape, str(value.dtype)) for key, value in observation.items()} == {
        image_key("scene"): ((48, 48, 3), "uint8"),
        image_key("wrist"): ((48, 48, 3), "uint8"),
        STATE: ((4,), "float32"),
        ENVIRONMENT_STATE: ((10,), "float32"),
    }
    assert info == {"success": False, "time": 0.0}
    assert all(observation[image_key(name)].std() > 20 for name in ("scene", "wrist")), "cameras see nothing"
    assert env.render().shape == (48, 96, 3)
    env.close()


PROBE = """
import hashlib, numpy as np
from worldmodel.sims.can import make
env, digest = make("place_can", size=32), hashlib.sha256()
env.reset(seed=11)
for i in range(30):
    action = np.array([0.5 + 0.1 * np.sin(i / 5), -0.1, 0.08 + 0.002 * i, (-1) ** (i // 6)])
    observation, *_ = env.step(action)
    for value in observation.values():
        digest.update(value.tobytes())
    digest.update(env.get_state().tobytes())
print(digest.hexdigest())
env.close()
"""


def test_same_seed_same_bits_in_another_process(capsys):
    other = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, timeout=60)
    exec(PROBE, {})
    assert capsys.readouterr().out.strip() == other.stdout.strip()


@pytest.mark.parametrize("task", ["place_can", "place_can_anywhere"])
def test_restored_state_continues_bit_for_bit(task):
    env = make(task, size=32)
    env.reset(seed=2)
    # Down onto the tray's region and closing: contacts and a moving gripper make plain qpos/qvel insufficient
    play(env, [np.array([0.5, -0.1, 0.05, 1.0])] * 15)
    saved = env.get_state()
    before = env.observe()
    expected = play(env, WAVES)
    env.reset(seed=99)
    env.set_state(saved)
    assert same(env.observe(), before)
    assert np.array_equal(env.get_state(), saved)
    assert all(same(left, right) for left, right in zip(play(env, WAVES), expected, strict=True))
    other = make(task, size=32)
    observation, info = other.reset(options={"state": saved})
    assert same(observation, before)
    assert info["time"] == 15 / 20
    assert state_hash(other.get_state()) == state_hash(saved) != state_hash(env.get_state())
    env.close()
    other.close()


def test_bin_and_things_are_part_of_the_state():
    env, other = (make("place_can_anywhere", size=48, privileged=True) for _ in range(2))
    first, _ = env.reset(seed=3)
    second, _ = other.reset(seed=4)
    assert first[ENVIRONMENT_STATE].shape == env.observation_space[ENVIRONMENT_STATE].shape == (12,)
    assert first[ENVIRONMENT_STATE][-2:] == pytest.approx([env.scene.bin.x, env.scene.bin.y])
    assert np.abs(first[ENVIRONMENT_STATE] - second[ENVIRONMENT_STATE])[-2:].max() > 0.01
    assert not np.array_equal(first[image_key("scene")], second[image_key("scene")])
    # Without the seed: where the bin stands and what colours things have must come from the state alone
    other.set_state(env.get_state())
    assert same(other.observe(), first)
    assert np.array_equal(other.scene.things, env.scene.things)
    assert same(other.reset(seed=77, options={"state": env.get_state()})[0], first)
    for one in (env, other):
        one.close()


def test_commands_are_clipped_and_limited_in_speed(blind):
    before = blind.scene.eef
    blind.step(np.array([9.0, 9.0, -9.0, -1.0]))
    assert np.linalg.norm(blind.scene.eef - before) < MAX_STEP + 0.002
    play(blind, [np.array([0.6, 0.24, 9.0, -1.0])] * 30)
    assert blind.scene.eef == pytest.approx([0.6, 0.24, WORKSPACE_HIGH[2]], abs=0.004)
    assert (blind.scene.eef > WORKSPACE_LOW - 0.004).all()


@pytest.mark.parametrize("corner", [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 0, 0)])
def test_whole_workspace_is_reached_pointing_down(blind, corner):
    # Lower than this the fingers stand on the tray's rim
    goal = np.maximum(np.where(corner, WORKSPACE_HIGH, WORKSPACE_LOW), [0, 0, 0.06])
    above = np.array([goal[0], goal[1], 0.25, -1.0])
    play(blind, [above] * 25 + [np.append(goal, -1.0)] * 15)
    assert blind.scene.eef == pytest.approx(goal, abs=0.004)
    rotation = blind.scene.data.site_xmat[blind.scene.eef_site].reshape(3, 3)
    assert rotation[:, 2] == pytest.approx([0, 0, -1], abs=0.02)
    assert rotation[:, 1] == pytest.approx([0, -1, 0], abs=0.02)


def test_gripper_opens_and_closes(blind):
    play(blind, [np.array([0.5, 0.0, 0.25, 1.0])] * 15)
    assert blind.scene.width < 0.002
    play(blind, [np.array([0.5, 0.0, 0.25, -1.0])] * 15)
    assert blind.scene.width == pytest.approx(0.09, abs=0.002)


@pytest.mark.parametrize("spoil", [lambda state: state[:-1], lambda state: state * np.nan])
def test_bad_state_is_refused_and_nothing_moves(blind, spoil):
    before = blind.get_state()
    with pytest.raises(ValueError, match=f"finite float64 \\({len(before)},\\)"):
        blind.set_state(spoil(before))
    assert np.array_equal(blind.get_state(), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "camera size 0 is not an integer from 16 to 1024"),
        ({"size": True}, "camera size True"),
        ({"size": 4096}, "from 16 to 1024"),
        ({"cameras": ("scene", "wrst")}, "unknown camera 'wrst'.*did you mean 'wrist'"),
        ({"cameras": ("wrist", "wrist")}, "repeat"),
        ({"perturb": "color"}, "unknown perturbation 'color'.*did you mean 'colour'"),
        ({"sise": 96}, "unknown env option 'sise'.*did you mean 'size'"),
        ({"render_mode": "human"}, "unknown render mode 'human'"),
        ({"task": "placecan"}, "unknown task 'placecan'.*did you mean 'place_can'"),
    ],
)
def test_bad_options_name_value_and_remedy(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        RobotEnv(**{"task": "place_can", **options})
    assert "\n" not in str(caught.value)


def test_order_of_calls_is_checked(blind):
    fresh = make("place_can", render_images=False)
    with pytest.raises(RuntimeError, match=r"call env\.reset"):
        fresh.step(np.zeros(4))
    with pytest.raises(RuntimeError, match=r"call env\.reset"):
        fresh.get_state()
    with pytest.raises(ValueError, match="unknown reset option 'sate'"):
        blind.reset(options={"sate": None})


def test_fingerprint_names_what_decides_the_bits(blind):
    import mujoco

    fingerprint = blind.fingerprint()
    assert fingerprint["mujoco"] == mujoco.__version__
    assert len(fingerprint["scene_sha256"]) == 64
    assert {"task", "gl", "size", "cameras", "perturb"} <= fingerprint.keys()
