"""One contract for the real env and for the dream that stands in its place: each test here runs on both."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from small import dreaming_model

from worldmodel import checkpoint, envs
from worldmodel.dream import DreamEnv
from worldmodel.schema import STATE, image_key

type Make = Callable[..., Any]
type Seen = dict[str, np.ndarray]

WAVES = [np.array([0.5 + 0.1 * np.sin(i / 5), 0.15 * np.cos(i / 5), 0.2, -1.0], np.float32) for i in range(8)]


def real(**options: Any) -> Any:
    return envs.make("lift_can", size=32, **options)


def dreamt(**options: Any) -> Any:
    return DreamEnv(dreaming_model(), "lift_can", **options)


@pytest.fixture(params=[real, dreamt], ids=["real", "dream"])
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


@pytest.fixture
def env(make: Make) -> Iterator[Any]:
    one = make()
    yield one
    one.close()


def same(left: Seen, right: Seen) -> bool:
    return left.keys() == right.keys() and all(np.array_equal(left[key], right[key]) for key in left)


def play(env: Any, seed: int) -> list[Seen]:
    return [env.reset(seed=seed)[0], *(env.step(wave)[0] for wave in WAVES)]


@pytest.mark.filterwarnings("ignore:.*symmetric and normalized.*")
def test_gymnasium_accepts_it(make: Make) -> None:
    env = make(render_mode="rgb_array")
    check_env(env)
    assert env.metadata["render_fps"] == 20 and env.task is envs.TASKS["lift_can"]
    env.close()


def test_spaces_are_the_same(make: Make) -> None:
    env, model = make(), real()
    assert env.observation_space == model.observation_space and env.action_space == model.action_space
    env.close()
    model.close()


def test_observations_fit_their_space_and_are_the_callers_own(env: Any) -> None:
    shown, info = env.reset(seed=0)
    assert {key: (value.shape, str(value.dtype)) for key, value in shown.items()} == {
        image_key("scene"): ((32, 32, 3), "uint8"),
        image_key("wrist"): ((32, 32, 3), "uint8"),
        STATE: ((4,), "float32"),
    }
    assert info["success"] is False and info["time"] == 0.0
    for wave in WAVES:
        shown, reward, terminated, truncated, info = env.step(wave)
        assert env.observation_space.contains(shown)
        assert isinstance(reward, float) and terminated is False and truncated is False
    assert info["time"] == pytest.approx(len(WAVES) / 20)
    picture = env.render()
    shown[image_key("scene")][:] = 0
    assert picture.shape == (32, 64, 3) and np.array_equal(env.render(), picture)


def test_seed_and_actions_decide_everything(make: Make) -> None:
    one, other = make(), make()
    first, again, apart, elsewhere = play(one, 1), play(one, 1), play(one, 2), play(other, 1)
    assert all(same(a, b) and same(a, c) for a, b, c in zip(first, again, elsewhere, strict=True))
    assert not same(first[0], apart[0]) and not same(first[-1], apart[-1])
    assert not same(first[0], first[-1]), "something moves"
    one.close()
    other.close()


def test_it_begins_at_a_simulator_state(make: Make) -> None:
    source, env = real(), make()
    source.reset(seed=3)
    for wave in WAVES:
        source.step(wave)
    shown, _ = env.reset(options={"state": source.get_state()})
    assert same(shown, source.observe())
    source.close()
    env.close()


def test_time_limit_truncates(env: Any) -> None:
    env.reset(seed=5)
    steps = round(env.task.seconds * 20)
    above = np.array([0.5, 0.0, 0.25, -1.0], np.float32)
    ends = [env.step(above)[2:4] for _ in range(steps)]
    assert ends[-1] == (False, True) and ends[-2] == (False, False)
    env.reset(seed=5)
    assert env.step(above)[3] is False


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ([0.5, 0, 0.2, np.nan], "not finite"),
        ([0.5, 0, np.inf, 1], "not finite"),
        ([0.5, 0, 0.2], r"shape \(3,\), expected \(4,\)"),
        ([[0.5, 0, 0.2, 1]], r"shape \(1, 4\)"),
    ],
)
def test_bad_action_is_refused_and_nothing_moves(env: Any, action: list[float], message: str) -> None:
    def after() -> Seen:
        found: Seen = env.step(WAVES[1])[0]
        return found

    env.reset(seed=5)
    expected = [env.step(WAVES[0])[0], after()][1]
    env.reset(seed=5)
    env.step(WAVES[0])
    with pytest.raises(ValueError, match=message):
        env.step(np.array(action))
    assert same(after(), expected)


def test_actions_are_clipped_to_the_space(env: Any) -> None:
    env.reset(seed=5)
    wild = env.step(np.array([9.0, -9.0, 9.0, 5.0], np.float32))[0]
    env.reset(seed=5)
    low, high = env.action_space.low, env.action_space.high
    assert same(wild, env.step(np.array([high[0], low[1], high[2], high[3]], np.float32))[0])


def test_order_of_calls_and_options(env: Any) -> None:
    for call in (env.render, lambda: env.step(WAVES[0])):
        with pytest.raises(RuntimeError, match=r"call env\.reset"):
            call()
    with pytest.raises(ValueError, match="unknown reset option 'sate'"):
        env.reset(options={"sate": None})
    env.close()
    env.close()


def test_render_mode_is_checked(make: Make) -> None:
    with pytest.raises(ValueError, match="unknown render mode 'human'"):
        make(render_mode="human")


@pytest.mark.parametrize("kind", ["real", "dream"])
def test_many_of_it_are_what_one_would_be_alone(kind: str, tmp_path: Path) -> None:
    if kind == "real":
        name, how, options = "worldmodel/LiftCan-v0", "sync", {"size": 32}
    else:
        checkpoint.save(dreaming_model(), tmp_path / "model", {})
        name, how = "worldmodel/Dream-v0", "vector_entry_point"
        options = {"model": str(tmp_path / "model"), "task": "lift_can"}
    many = gymnasium.make_vec(name, num_envs=2, vectorization_mode=how, **options)
    alone = real() if kind == "real" else dreamt()
    shown, _ = many.reset(seed=[3, 4])
    assert same({key: value[1] for key, value in shown.items()}, alone.reset(seed=4)[0])
    shown, reward, terminated, truncated, _ = many.step(np.stack([WAVES[0], WAVES[5]]))
    one = alone.step(WAVES[5])[0]
    # A dream of two is one forward pass in bfloat16, whose sums round otherwise
    assert np.abs(shown[image_key("scene")][1].astype(int) - one[image_key("scene")]).max() <= 8
    np.testing.assert_allclose(shown[STATE][1], one[STATE], atol=0.02)
    assert many.observation_space.contains(shown)
    assert reward.shape == terminated.shape == truncated.shape == (2,)
    many.close()
    alone.close()
