"""`env install`: exact pins, an environment of its own, and left alone where it is complete."""

import importlib
import json

import pytest

from worldmodel.config import UserError
from worldmodel.external.install import DONE, RECIPES, InstallConfig, home, install, python_of

module = importlib.import_module("worldmodel.external.install")  # the package's own `install` is the verb


@pytest.fixture
def ran(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLDMODEL_ENVS", str(tmp_path / "envs"))
    commands = []

    def run(command, folder):
        commands.append(command)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pyvenv.cfg").touch()

    monkeypatch.setattr(module, "_run", run)
    monkeypatch.setattr(module, "_try_out", lambda python: None)
    return commands


def test_every_version_is_exact():
    for recipe in RECIPES.values():
        assert all(pin.count("==") == 1 for pin in (*recipe.needs, *recipe.alone))


@pytest.mark.parametrize("uv", [None, "/bin/uv"])
def test_it_installs_once(ran, monkeypatch, capsys, uv):
    monkeypatch.setattr(module.shutil, "which", lambda name: uv)
    assert install(InstallConfig("robosuite")) == 0
    assert [("--no-deps" in command, "robosuite==1.5.2" in command) for command in ran[1:3]] == [
        (False, False),
        (True, True),
    ]
    assert json.loads((home("robosuite") / DONE).read_text())["name"] == "robosuite"
    assert python_of("robosuite").parent.parent == home("robosuite")
    ran.clear()
    assert install(InstallConfig("robosuite")) == 0 and not ran
    assert "nothing to do" in capsys.readouterr().out


def test_one_line_errors(ran, tmp_path):
    with pytest.raises(UserError, match="did you mean 'robosuite'"):
        install(InstallConfig("robosuit"))
    with pytest.raises(UserError, match="worldmodel env install robosuite"):
        python_of("robosuite")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(UserError, match="not empty"):
        install(InstallConfig("robosuite", str(tmp_path / "mine")))
    assert (tmp_path / "mine" / "thesis.txt").exists()
