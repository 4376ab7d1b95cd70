"""A real little `lift_can` recording, as a store and as a LeRobot data set."""

import os
from pathlib import Path

import pytest
from recordings import need_lerobot

need_lerobot()


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four episodes of the expert, 48 px, pushed around as always."""
    from worldmodel.collect import CollectConfig, collect

    path = tmp_path_factory.mktemp("lerobot") / "lift"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        assert collect(CollectConfig(out=str(path), task="lift_can", episodes=4, size=48, workers="2")) == 0
    return path


@pytest.fixture(scope="session")
def dataset(store: Path) -> Path:
    """The same in LeRobot's format, without what no policy should see; frames as images, so exact."""
    from worldmodel.data.formats.lerobot_convert import from_store

    out = store.with_name("lift_lerobot")
    from_store(str(store), out, "image", ("observation.environment_state", "phase", "simulator_state"))
    return out
