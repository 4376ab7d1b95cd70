"""What only a dream does; what it has in common with the real env is in tests/envs/test_contract.py."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from small import CONFIG, dreaming_model, small_model, small_store

from worldmodel import checkpoint, envs
from worldmodel.data import EpisodeStore
from worldmodel.dream import DreamEnv, DreamVectorEnv  # the old names
from worldmodel.model import WorldModel
from worldmodel.policies import ModelPolicy
from worldmodel.rollout import rollout
from worldmodel.schema import STATE, image_key

WAVES = [np.array([0.5 + 0.1 * np.sin(i / 5), 0.15 * np.cos(i / 5), 0.2, -1.0], np.float32) for i in range(6)]


def seen(number: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(number)
    frames = {image_key(c): random.integers(0, 256, (32, 32, 3), np.uint8) for c in ("scene", "wrist")}
    return {**frames, STATE: np.array([0.5, 0.1, 0.2, 0.05], np.float32)}


STARTS = [seen(number) for number in range(3)]


@pytest.fixture
def dream() -> Iterator[DreamEnv]:
    env = DreamEnv(dreaming_model(), "lift_can", starts=STARTS)
    env.reset(seed=5)
    yield env
    env.close()


def same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    return left.keys() == right.keys() and all(np.array_equal(left[key], right[key]) for key in left)


@pytest.mark.filterwarnings("ignore:.*symmetric and normalized.*")
def test_gymnasium_accepts_it_and_its_spaces_are_the_real_ones(tmp_path: Path) -> None:
    checkpoint.save(dreaming_model(), tmp_path / "model", {})
    options = {"model": str(tmp_path / "model"), "task": "lift_can", "starts": STARTS}
    dream = gymnasium.make("worldmodel/Dream-v0", render_mode="rgb_array", **options)
    check_env(dream.unwrapped)
    real = envs.make("lift_can", size=32)
    assert dream.observation_space == real.observation_space and dream.action_space == real.action_space
    assert dream.unwrapped.task is real.task and dream.metadata["render_fps"] == 20
    many = gymnasium.make_vec("worldmodel/Dream-v0", num_envs=3, vectorization_mode="vector_entry_point", **options)
    assert isinstance(many.unwrapped, DreamVectorEnv) and many.num_envs == 3
    for env in (dream, real, many):
        env.close()


def test_without_a_start_it_begins_at_what_the_real_env_shows() -> None:
    dream, real = DreamEnv(dreaming_model(), "place_can"), envs.make("place_can", size=32)
    try:
        assert same(dream.reset(seed=3)[0], real.reset(seed=3)[0])
        for wave in WAVES:
            real.step(wave)
        assert same(dream.reset(options={"state": real.get_state()})[0], real.observe())
    finally:
        dream.close()
        real.close()


def test_it_begins_at_a_recorded_frame(dream: DreamEnv, tmp_path: Path) -> None:
    arrays = EpisodeStore.open(small_store(tmp_path / "data").path).episode(1).arrays
    frame = {key: np.asarray(arrays[key][4]) for key in dream.observation_space}
    observation, info = dream.reset(options={"observation": frame})
    for camera in ("scene", "wrist"):
        assert np.array_equal(observation[image_key(camera)], frame[image_key(camera)])
    assert info == {"success": False, "time": 0.0, "imagined": True}


def test_seed_start_and_actions_decide_everything(dream: DreamEnv) -> None:
    def play(seed: int) -> list[dict[str, np.ndarray]]:
        return [dream.reset(seed=seed)[0], *(dream.step(wave)[0] for wave in WAVES)]

    first, again, other = play(1), play(1), play(2)
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    assert not same(first[-1], other[-1])
    assert all(dream.observation_space.contains(observation) for observation in first)


def test_success_is_never_claimed_and_time_runs_out() -> None:
    dream = DreamEnv(dreaming_model(), "lift_can", starts=STARTS, seconds=0.3)
    dream.reset(seed=0)
    ends = [dream.step(wave)[1:] for wave in WAVES]
    assert [end[:3] for end in ends] == [(0.0, False, False)] * 5 + [(0.0, False, True)]
    assert ends[-1][3]["time"] == pytest.approx(0.3) and not ends[-1][3]["success"]
    assert DreamEnv(dreaming_model(), "lift_can", starts=STARTS).imagined.limit == 200, "the task's own limit"


def test_what_is_seen_while_dreaming_is_taken_over(dream: DreamEnv) -> None:
    dream.step(WAVES[0])
    dream.observe(seen(7))
    assert np.array_equal(dream.render(), np.concatenate([seen(7)[image_key(c)] for c in ("scene", "wrist")], axis=1))
    shown = dream.step(WAVES[1])[0]
    shown[image_key("scene")][:] = 0
    assert dream.render()[:, :32].any(), "what was shown is the user's own"


def test_the_policy_runs_in_it_unchanged(dream: DreamEnv) -> None:
    episode = rollout(ModelPolicy(dreaming_model(), "lift_can"), dream, 3, max_steps=10)
    assert len(episode) == 10 and episode.task == "lift_can" and not episode.success
    assert episode.arrays[image_key("wrist")].shape == (10, 32, 32, 3)


def test_many_dreams_are_those_that_one_would_have_alone() -> None:
    many = DreamVectorEnv(dreaming_model(), "lift_can", num_envs=2, starts=STARTS, seconds=0.2)
    alone = DreamEnv(dreaming_model(), "lift_can", starts=STARTS)
    shown, _ = many.reset(seed=[4, 9])
    assert same({key: value[1] for key, value in shown.items()}, alone.reset(seed=9)[0])
    for wave in WAVES[:4]:
        shown, reward, terminated, truncated, info = many.step(np.stack([WAVES[0], wave]))
        one = alone.step(wave)[0]
        assert np.abs(shown[image_key("scene")][1].astype(int) - one[image_key("scene")]).max() <= 8
        np.testing.assert_allclose(shown[STATE][1], one[STATE], atol=0.02)  # bfloat16, another batch size
    assert many.observation_space.contains(shown) and truncated.all() and not terminated.any() and not reward.any()
    shown, _, _, truncated, info = many.step(np.stack(WAVES[:2]))
    assert not truncated.any() and (info["time"] == 0).all(), "the next step begins anew"
    assert any(np.array_equal(shown[image_key("scene")][0], start[image_key("scene")]) for start in STARTS)
    many.step(np.stack(WAVES[:2]))
    _, info = many.reset(seed=[1, 2], options={"reset_mask": np.array([False, True])})
    assert info["time"].tolist() == [pytest.approx(0.05), 0.0]
    many.close()


def test_bad_options(dream: DreamEnv) -> None:
    model = dreaming_model()
    with pytest.raises(ValueError, match=f"begins at '{image_key('wrist')}'; the observation has"):
        dream.reset(options={"observation": {k: v for k, v in seen().items() if "wrist" not in k}})
    with pytest.raises(ValueError, match=r"not for 'lift_cup'.*Did you mean 'lift_can'"):
        DreamEnv(model, "lift_cup")
    with pytest.raises(ValueError, match=r"has no imagined rollouts .*modes\.rollout=0"):
        DreamEnv(small_model(), "lift_can")


@pytest.mark.parametrize(
    ("other", "message"),
    [({"control_hz": 10.0}, r"control rate \[Hz\]: the model has 10, the env of 'lift_can' 20")],
)
def test_a_model_of_another_arm_is_refused(other: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DreamEnv(WorldModel(replace(CONFIG, window=2, **other)), "lift_can", starts=STARTS)


def test_a_task_without_an_env_needs_a_start() -> None:
    torch.manual_seed(0)
    model = WorldModel(replace(CONFIG, window=2, tasks=("push the T",)))
    with pytest.raises(ValueError, match="'push the T' has no env to begin in: give starts="):
        DreamEnv(model).reset(seed=0)
    dream = DreamEnv(model, starts=STARTS, seconds=1.0)
    assert dream.reset(seed=0)[0][STATE].shape == (4,) and dream.imagined.limit == 20
    assert not DreamEnv(model, starts=STARTS).step.__self__.action_space.is_bounded()
