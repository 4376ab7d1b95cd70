"""Our tasks as LeRobot makes and runs them: what it expects to see is there, and success arrives where it looks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worldmodel.schema import ACTION, STATE, image_key
from worldmodel.sims.can.expert import Expert

lerobot = pytest.importorskip("lerobot")

from lerobot.envs import make_env, preprocess_observation  # noqa: E402
from lerobot.envs.configs import EnvConfig  # noqa: E402
from lerobot.envs.utils import NEW_ROLLOUT_OPTION, env_to_policy_features  # noqa: E402
from lerobot.utils.import_utils import register_third_party_plugins  # noqa: E402

pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]
register_third_party_plugins()
SIZE = 32


def config_of(**options: Any) -> Any:
    return EnvConfig.get_choice_class("worldmodel")(**{"task": "lift_can", "size": SIZE, **options})


def test_observations_are_what_its_features_promise() -> None:
    env = make_env(config_of(), n_envs=2)["worldmodel"][0]
    observation, _ = env.reset(seed=[3, 4], options={NEW_ROLLOUT_OPTION: True})
    seen, features = preprocess_observation(observation), env_to_policy_features(config_of())
    assert features.keys() == {image_key("scene"), image_key("wrist"), STATE, ACTION}
    for key in features.keys() - {ACTION}:
        assert tuple(seen[key].shape) == (2, *features[key].shape), key
    assert env.single_action_space.shape == features[ACTION].shape
    first = {name: value[0] for name, value in observation["pixels"].items()}
    assert env.single_observation_space.contains({"pixels": first, "agent_pos": observation["agent_pos"][0]})
    assert env.call("_max_episode_steps") == (200, 200) and env.metadata["render_fps"] == 20
    assert env.call("task_description") == ("lift_can", "lift_can") == env.call("task")
    assert env.envs[0].render().shape == (SIZE, 2 * SIZE, 3)
    assert np.array_equal(env.reset(seed=[3, 4])[0]["agent_pos"], observation["agent_pos"])
    env.close()


def test_success_is_told_on_the_step_that_ends_the_episode() -> None:
    env = make_env(config_of(cameras=("wrist",)), n_envs=1)["worldmodel"][0]
    env.reset(seed=[0])
    robot = env.envs[0].unwrapped
    expert, info = Expert(robot, seed=0), dict[str, Any]()
    for _ in range(100):
        _, reward, terminated, _, info = env.step(expert.act().label[None])
        if terminated[0]:
            break
        assert not info["is_success"][0] and reward[0] == 0
    assert terminated[0] and reward[0] == 1
    assert info["final_info"]["is_success"].tolist() == [True], "where lerobot-eval looks for it"
    env.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "lift_cam"}, "unknown task 'lift_cam'.*did you mean 'lift_can'"),
        ({"fps": 30}, "env.fps=30: these tasks run at 20 Hz"),
    ],
)
def test_bad_input_is_told_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        config_of(**options)
    assert "\n" not in str(error.value)
