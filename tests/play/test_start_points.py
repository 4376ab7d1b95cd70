"""Where play begins, and which data it refuses."""

from pathlib import Path

import numpy as np
import pytest

from worldmodel.config import UserError
from worldmodel.data import EpisodeStore
from worldmodel.play.messages import StartPoint
from worldmodel.play.server import StartPoints
from worldmodel.schema import ACTION, STATE, Episode, image_key

CAMERAS = ("scene", "wrist")


def store(path: Path, cameras: tuple[str, ...] = CAMERAS, rate: float = 20.0, **more: np.ndarray) -> str:
    """A store of three steps of nothing."""
    writer = EpisodeStore.create(path, {"licence": "Apache-2.0", "rate": rate})
    arrays = {image_key(camera): np.zeros((3, 32, 32, 3), np.uint8) for camera in cameras}
    arrays |= {STATE: np.zeros((3, 4), np.float32), ACTION: np.zeros((3, 4), np.float32), **more}
    writer.append(Episode(arrays, "place_can", 0, True))
    writer.seal()
    return str(path)


def test_seeds_and_frozen_starts() -> None:
    places = StartPoints("place_can", None, CAMERAS)
    assert places.choices() == {"starts": {"validation": 200, "test": 200}, "data": None}
    assert places.find(StartPoint("seed", 5)).seed == 5
    test, validation = (places.find(StartPoint("start", 7, split)) for split in ("test", "validation"))
    assert test.index == validation.index == 7
    assert not np.array_equal(test.state, validation.state)
    with pytest.raises(UserError, match="test start 200: there are 0 to 199"):
        places.find(StartPoint("start", 200, "test"))
    with pytest.raises(UserError, match="start play with data=FOLDER"):
        places.find(StartPoint("data", 0))
    with pytest.raises(UserError, match="seed 2147483648: expected at most 2147483647"):
        places.find(StartPoint("seed", 2**31))


def test_recorded_frames(recorded: str) -> None:
    places = StartPoints("lift_can", recorded, CAMERAS)  # another task of the same scene
    length = places.choices()["data"]["lengths"][0]
    states = [places.find(StartPoint("data", 0, step=step)).state for step in (0, length - 1)]
    assert states[0].shape == states[1].shape
    assert not np.array_equal(*states)
    with pytest.raises(UserError, match=f"step {length}: episode 0 has 0 to {length - 1}"):
        places.find(StartPoint("data", 0, step=length))
    with pytest.raises(UserError, match="episode 1: the data set has 0 to 0"):
        places.find(StartPoint("data", 1))


def test_data_that_misfits(tmp_path: Path, recorded: str) -> None:
    state = {"simulator_state": np.zeros((3, 5))}
    for data, told in (
        (store(tmp_path / "slow", rate=10.0, **state), "recorded at 10 Hz, the simulator runs at 20"),
        (store(tmp_path / "blind", cameras=("scene",), **state), "lacks camera 'wrist', which the checkpoint observes"),
        (store(tmp_path / "bare"), "keeps no 'simulator_state', so MuJoCo cannot be put at its frames"),
    ):
        with pytest.raises(UserError, match=told):
            StartPoints("place_can", data, CAMERAS)
    with pytest.raises(UserError, match="task 'place_can' plays in another scene than place_can_anywhere"):
        StartPoints("place_can_anywhere", recorded, CAMERAS)
    with pytest.raises(FileNotFoundError):
        StartPoints("place_can", str(tmp_path / "nowhere"), CAMERAS)
