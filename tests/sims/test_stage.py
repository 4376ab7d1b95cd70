"""`collect task=robosuite:...` finds its stage, its cameras and its mistakes before anything starts."""

import pytest

from worldmodel.collect.demonstrate import Recipe
from worldmodel.collect.robosuite_stage import is_robosuite, with_cameras
from worldmodel.config import UserError
from worldmodel.sims.robosuite import client as robosuite


def recipe(*tasks, cameras=("scene", "wrist")):
    return Recipe(tasks, 0, 2, 1.0, cameras, 84, 8)


def test_tasks_of_robosuite_are_recognised(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLDMODEL_ENVS", str(tmp_path))
    assert not is_robosuite(recipe("place_can", "lift_can"))
    with pytest.raises(UserError, match="one simulator at a time"):
        is_robosuite(recipe("robosuite:PickPlaceCan", "place_can"))
    with pytest.raises(UserError, match="no expert"):
        is_robosuite(recipe("robosuite:NutAssemblySquare"))
    with pytest.raises(UserError, match="env install robosuite"):
        is_robosuite(recipe("robosuite:PickPlaceCan"))
    (tmp_path / "robosuite").mkdir()
    (tmp_path / "robosuite" / "worldmodel.json").write_text("{}")
    assert is_robosuite(recipe("robosuite:PickPlaceCan"))


def test_cameras():
    assert with_cameras(recipe("robosuite:PickPlaceCan")).cameras == robosuite.CAMERAS
    assert with_cameras(recipe("robosuite:PickPlaceCan", cameras=("agentview",))).cameras == ("agentview",)
