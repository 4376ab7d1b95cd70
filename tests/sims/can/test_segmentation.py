"""Whose a pixel is, from GL and from ray casting alike, without a trace in the picture itself."""

import numpy as np
import pytest

from worldmodel.schema import image_key, segmentation_key
from worldmodel.sims.can import make
from worldmodel.sims.can.cameras import RayRenderer


@pytest.fixture(scope="module")
def env():
    env = make("place_can", segmentation=True, size=48)
    env.reset(seed=3)
    return env


def test_the_can_and_the_hand_are_where_the_picture_has_them(env):
    seen = env.observe()
    assert env.observation_space.contains(seen)
    for camera in ("scene", "wrist"):
        parts, frame = seen[segmentation_key(camera)], seen[image_key(camera)].astype(int)
        assert parts.shape == (48, 48) and parts.dtype == np.uint8
        assert set(np.unique(parts)) == {0, 1, 2}
        red = (frame[..., 0] > 150) & (frame[..., 1] < 60) & (frame[..., 2] < 60)
        assert red.sum() > 3 and (parts[red] == 2).mean() > 0.9, "only the can is red"


def test_the_picture_is_the_same_with_and_without(env):
    plain = make("place_can", size=48)
    plain.reset(seed=3)
    for _ in range(3):
        action = np.append(env.scene.eef - np.array([0, 0.03, 0.02]), 1).astype(np.float32)
        seen, other = env.step(action)[0], plain.step(action)[0]
        assert all((seen[key] == other[key]).all() for key in other)


def test_ray_casting_tells_the_same(env):
    ray = RayRenderer(env.scene.model, 48)
    for camera in ("scene", "wrist"):
        cast = np.append(env.scene.parts, np.uint8(0))[ray.geoms(env.scene.data, camera)]
        assert (cast == env.segment(camera)).mean() > 0.99


def test_it_is_off_unless_asked_for_and_told_in_the_fingerprint(env):
    plain = make("place_can", size=48)
    assert not any("segmentation" in key for key in plain.observation_space.spaces)
    assert "segmentation" not in plain.fingerprint() and env.fingerprint()["segmentation"] is True
