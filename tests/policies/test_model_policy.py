"""A model as a policy: arrays in, chunks out, and a row's result is its own."""

import numpy as np
import pytest
from small import small_given, small_model

from worldmodel.policies import ModelPolicy
from worldmodel.schema import STATE, Policy, image_key


def observations(batch: int = 3) -> dict[str, np.ndarray]:
    given = small_given(batch)
    images = given.images.numpy()
    return {
        image_key("scene"): images[:, 0],
        image_key("wrist"): images[:, 1],
        STATE: given.state.numpy(),
    }


def test_it_is_a_policy_and_gives_chunks_in_physical_units() -> None:
    policy = ModelPolicy(small_model(), task="lift_can", n_action_steps=8)
    assert isinstance(policy, Policy) and policy.chunk_size == 16 and policy.n_action_steps == 8
    chunk = policy.act(observations())
    assert chunk.shape == (3, 16, 4) and chunk.dtype == np.float32 and np.isfinite(chunk).all()


def test_a_rows_noise_is_its_own() -> None:
    policy, seen, seeds = ModelPolicy(small_model()), observations(), np.array([5, 6, 7])
    whole = policy.act(seen, seeds=seeds)
    alone = policy.act({key: value[1:2] for key, value in seen.items()}, seeds=seeds[1:2])
    np.testing.assert_allclose(whole[1:2], alone, atol=0.02)
    np.testing.assert_array_equal(whole, policy.act(seen, seeds=seeds))
    assert not np.allclose(whole, policy.act(seen, seeds=seeds + 1), atol=1e-3)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_it_imagines_every_step_asked_for(count: int) -> None:
    policy, seen = ModelPolicy(small_model()), observations(2)
    frames = policy.imagine(seen, policy.act(seen), list(range(1, count + 1)))
    assert set(frames) == {image_key("scene"), image_key("wrist")}
    assert all(f.shape == (2, count, 32, 32, 3) and f.dtype == np.uint8 for f in frames.values())


def test_wrong_observations_are_named() -> None:
    policy, seen = ModelPolicy(small_model()), observations()
    with pytest.raises(ValueError, match="needs camera 'wrist'; the observation has: scene"):
        policy.act({key: value for key, value in seen.items() if "wrist" not in key})
    large = np.zeros((3, 64, 64, 3), np.uint8)
    with pytest.raises(ValueError, match="32x32x3, got uint8 64x64x3; make the env with size=32"):
        policy.act(seen | {image_key("scene"): large, image_key("wrist"): large})
    with pytest.raises(ValueError, match="a state of 4 numbers"):
        policy.act(seen | {STATE: np.zeros((3, 9), np.float32)})
    with pytest.raises(ValueError, match="n_action_steps=17"):
        ModelPolicy(small_model(), n_action_steps=17)
    with pytest.raises(ValueError, match="Did you mean 'place_can'"):
        ModelPolicy(small_model(), task="place_cans")
