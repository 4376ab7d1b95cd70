"""Validation while training: what cannot be had is said before the first step, not found in a log afterwards."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from worldmodel.config import UserError
from worldmodel.train import validate
from worldmodel.train.config import ValidationConfig
from worldmodel.train.validate import closed_loop, fitting

CAN, LIFT = "robosuite:PickPlaceCan", "robosuite:Lift"


def test_what_was_asked_for_and_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORLDMODEL_ENVS", str(tmp_path))
    with pytest.raises(ValueError, match=r"validation.task=lift_can: the model learns place_can; give one of these"):
        fitting(ValidationConfig(task="lift_can"), ("place_can",))
    with pytest.raises(ValueError, match=r"no validation starts are shipped for it.*or validation.every=0"):
        fitting(ValidationConfig(task=LIFT), (LIFT,))
    with pytest.raises(UserError, match="run `worldmodel env install robosuite`"):
        fitting(ValidationConfig(task=CAN), (CAN,))
    assert fitting(ValidationConfig(every=0, task=LIFT), (CAN,)).every == 0, "nobody asked"


def test_what_fits_is_left_alone_and_a_default_that_does_not_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert fitting(ValidationConfig(), ("lift_can", "place_can")) == ValidationConfig()
    assert fitting(ValidationConfig(), (CAN,)).every == 0
    assert "no validation while training: validation.task=place_can" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(("task", "batch"), [("place_can", False), (CAN, True)])
def test_simulators_with_a_process_each_are_few(
    task: str, batch: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        asked.append(command)
        return SimpleNamespace(returncode=1)

    monkeypatch.setattr(validate.subprocess, "run", run)
    assert closed_loop(tmp_path, 7, ValidationConfig(task=task)) == {}
    assert f"task={task}" in asked[0] and ("batch=4" in asked[0]) == batch == ("timeout=600" in asked[0])
