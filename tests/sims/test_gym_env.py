"""The adapter: pixels, numbers, ranges, rate and success are found wherever an env keeps them, or told in one line."""

import numpy as np
import pytest
from tinygym import HIGH, LOW, TASK, action_at, frame_at, length_of

from worldmodel.config import UserError
from worldmodel.schema import ENVIRONMENT_STATE, STATE
from worldmodel.sims.base import InitialState, SimulatorSpec
from worldmodel.sims.gymnasium.experts import Demonstrator, RandomPolicy, scripted
from worldmodel.sims.gymnasium.name import parse, slug
from worldmodel.sims.gymnasium.simulator import GymSimulator
from worldmodel.sims.make import describe


def opened(task, size=96, cameras=None):
    return GymSimulator(SimulatorSpec(task, cameras, size))


def begin(env, seed):
    env.reset(InitialState(0, seed))


@pytest.mark.parametrize(
    ("query", "camera", "state"),
    [("", "eyes.left", [7, 2, 2]), ("?obs=image", "image", [0]), ("?obs=render", "render", [7, 2])],
)
def test_one_env_shown_in_three_ways(query, camera, state):
    env = opened(TASK + query, size=16)
    assert env.info.cameras == (camera,) and env.info.rate == 25 and env.info.max_steps == 40
    begin(env, 7)
    for step in range(2):
        env.step(action_at(7, step))
    seen = env.observe()
    assert set(seen) == {f"observation.images.{camera}", STATE}
    np.testing.assert_array_equal(seen[f"observation.images.{camera}"], frame_at(7, 2, 16, 16))
    assert seen[STATE].dtype == np.float32 and seen[STATE].tolist() == state
    env.close()


def test_success_limit_and_range():
    env = opened(TASK, size=16)
    begin(env, 3)  # fails
    for step in range(40):
        assert not env.over
        env.step(action_at(3, step))
    assert (env.over, env.success, env.steps) == (True, False, 40)
    assert env.stats() == {"return": 40.0, "best_reward": 1.0, "same_pictures": True}
    begin(env, 1)
    for step in range(length_of(1)):
        assert not env.success
        env.step(action_at(1, step))
    assert env.success and env.over
    begin(env, 0)
    env.step(np.array([-9, 9e9, 7]))  # the env itself refuses what is out of its range
    np.testing.assert_array_equal(env.info.action_range, [LOW, HIGH])
    begin(env, 1)
    for wrong in (np.zeros(2), np.full(3, np.nan)):
        with pytest.raises(ValueError, match=r"expected \(3,\) finite"):
            env.step(wrong)
    with pytest.raises(ValueError, match="is another one here than when it was frozen"):
        env.reset(InitialState(0, 1, np.zeros(64)))


def test_what_is_found_out_is_said():
    task = f"{TASK}?state=1:3&steps=30&success=height>8"
    info, fingerprint = describe(SimulatorSpec(task, size=32))
    said = "\n".join(info.lines)
    assert "25 Hz (metadata render_fps), at most 30 steps, 1.2 s (chosen)" in said
    assert "eyes.left: observation, 30x20, shown at 32x32" in said
    assert "2 of 3 numbers: count (2), mode (1)" in said
    assert "-1 to 1e+09, -5 to 10000, 0 to 400" in said and "info['height'] > 8" in said
    assert (info.action_dim, info.state_dim, info.rate, info.max_steps) == (3, 2, 25, 30)
    scene = "5c8ec867e607febdd29f992e17f9b23af59a9150407f40c226f4a8e89ba63308"  # must stay: starts files hold it
    assert "scripted" in info.experts and fingerprint["scene_sha256"] == scene and fingerprint["mujoco"] == "none"


def test_chosen_numbers_and_rules():
    env = opened(f"{TASK}?state=0&success=height>2")
    begin(env, 4)
    for step in range(3):
        assert not env.success
        env.step(action_at(4, step))
    assert env.success and not env.over
    seen = env.observe(draw=False)
    assert seen[STATE].tolist() == [4] and seen[ENVIRONMENT_STATE].tolist() == [4, 3, 0]
    for rule, ends in (("survived", False), ("return>6", True), ("terminated", True)):
        env = opened(f"{TASK}?success={rule}")
        begin(env, 2)
        while not env.over:
            env.step(action_at(2, env.steps))
        assert env.success is ends


def test_a_start_is_told_by_its_first_look():
    env = opened(TASK)
    digests = []
    for seed in (1, 2, 1):
        begin(env, seed)
        digests.append(env.start_state())
    assert (digests[0] == digests[2]).all() and (digests[0] != digests[1]).any() and digests[0].shape == (64,)


def test_pushes_leave_the_label_clean():
    env = opened(TASK)
    env.env.unwrapped.push = np.array([0, 0, 50.0])
    begin(env, 8)
    expert = Demonstrator(env, scripted(parse(TASK).id), seed=0, noise=1.0)
    expert.reset()
    acts = [expert.act() for _ in range(100)]
    assert all((act.label == action_at(8, 0)).all() and (act.executed <= HIGH).all() for act in acts)
    assert 0 < np.mean([(act.label != act.executed).any() for act in acts]) < 0.5
    chance = Demonstrator(env, RandomPolicy, seed=0)
    chance.reset()
    assert (chance.act().label != chance.act().label).all()


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("gym:", "expected gym:ID"),
        ("gym:Reecher-v5", "no such Gymnasium env; did you mean 'Reacher-v5'"),
        ("gym:CartPole-v1", r"takes Discrete\(2\) actions, expected numbers \(Box\); "),
        ("gym:tinygym/Blind-v0", "shows no pixels"),
        ("gym:tinygym/Cuont-v0", "did you mean 'tinygym/Count-v0'"),
        ("gym:tiniegym/Count-v0", "no package 'tiniegym' is installed; try `pip install tiniegym`"),
        (f"{TASK}?colour=red", "the env has no option 'colour'"),
        (f"{TASK}?colour", "expected key=value"),
        (f"{TASK}?state=2:1", "expected ranges such as"),
        (f"{TASK}?state=0:9", "names number 8, the env has 3"),
        (f"{TASK}?steps=none", "expected a number of control steps"),
        (f"{TASK}?success=hight>3", "no number 'hight'; did you mean 'height'"),
        (f"{TASK}?success=>3", "expected auto, terminated"),
    ],
)
def test_what_cannot_be_handled_is_one_line(task, expected):
    with pytest.raises(UserError, match=expected) as told:
        opened(task)
    assert "\n" not in str(told.value)


def test_an_unknown_camera_is_told():
    with pytest.raises(UserError, match=r"no such camera; did you mean 'eyes.left'"):
        opened(TASK, cameras=("cameras.lift",))


def test_names():
    asked = parse("gym:a/B-v0?x=1&deep.down=true&deep.word=up&state=0:4+6")
    assert asked.options == {"x": 1, "deep": {"down": True, "word": "up"}} and asked.state == ((0, 4), (6, 7))
    assert slug("gym:a/B-v0?x=1") == "gym-a-B-v0" and slug("place_can") == "place_can"
