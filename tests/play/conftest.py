"""One recorded episode for all of these tests: recording it takes most of their time."""

import pytest

from worldmodel.collect import CollectConfig, collect


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a store with one real episode at 32 pixels."""
    out = tmp_path_factory.mktemp("recorded") / "store"
    assert collect(CollectConfig(task="place_can", episodes=1, size=32, out=str(out), workers="1")) == 0
    return str(out)
