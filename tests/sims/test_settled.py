"""`collect task=robosuite:...` finds its simulator, its cameras and its mistakes before anything starts."""

import pytest

from worldmodel.collect import CollectConfig
from worldmodel.collect import command as module
from worldmodel.config import UserError
from worldmodel.sims.base import EnvInfo
from worldmodel.sims.robosuite import client as robosuite


def settled(*tasks, cameras="auto"):
    return module.settled(CollectConfig(out="unused", task=f"[{','.join(tasks)}]", cameras=cameras).recipe())[0]


def test_tasks_of_robosuite_are_recognised(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLDMODEL_ENVS", str(tmp_path))
    info = EnvInfo("robosuite:PickPlaceCan", robosuite.CAMERAS, 84, 20.0, 400, 10, 9, "theirs")
    with pytest.raises(UserError, match="one env at a time"):
        settled("robosuite:PickPlaceCan", "place_can")
    with pytest.raises(UserError, match="has no scripted expert"):
        settled("robosuite:NutAssemblySquare")
    with pytest.raises(UserError, match="env install robosuite"):
        settled("robosuite:PickPlaceCan")
    (tmp_path / "robosuite").mkdir()
    (tmp_path / "robosuite" / "worldmodel.json").write_text("{}")
    monkeypatch.setattr(module, "describe", lambda spec: (info, {}))
    assert settled("robosuite:PickPlaceCan").cameras == robosuite.CAMERAS


def test_cameras_are_the_simulators_own_unless_chosen():
    assert settled("place_can", "lift_can").cameras == ("scene", "wrist")
    assert settled("place_can", cameras="[wrist]").cameras == ("wrist",)
    assert settled("place_can", cameras="[]").cameras == ()


@pytest.mark.parametrize("key", ["microphone", "segmentation"])
def test_what_a_simulator_does_not_show_is_refused(key):
    config = CollectConfig(out="unused", task="gym:tinygym/Count-v0", **{key: True})
    with pytest.raises(UserError, match="is wanted, and this simulator does not show it"):
        module.settled(config.recipe())
    config = CollectConfig(out="unused", task="gym:tinygym/Count-v0", behaviour="play")
    with pytest.raises(UserError, match="has only behaviour=expert"):
        module.settled(config.recipe())
