"""`env install`: exact pins, an environment of its own, and left alone where it is complete."""

import importlib
import json

import pytest

from worldmodel.config import UserError
from worldmodel.sims.remote.install import MEGABYTES, InstallConfig, install, pins
from worldmodel.sims.remote.process import DONE, home, python_of

module = importlib.import_module("worldmodel.sims.remote.install")  # the package's own `install` is the verb


@pytest.fixture
def ran(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLDMODEL_ENVS", str(tmp_path / "envs"))
    commands = []

    def run(command, folder):
        commands.append(command)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pyvenv.cfg").touch()

    monkeypatch.setattr(module, "_run", run)
    monkeypatch.setattr(module, "_try_out", lambda name, python: None)
    return commands


def test_every_version_is_exact():
    for name in MEGABYTES:
        assert all(pin.count("==") == 1 for pin in pins(name)) and pins(name)[-1].startswith(f"{name}==")


@pytest.mark.parametrize("uv", [None, "/bin/uv"])
@pytest.mark.parametrize(("name", "pin"), [("robosuite", "robosuite==1.5.2"), ("metaworld", "metaworld==3.1.1")])
def test_it_installs_once(ran, monkeypatch, capsys, uv, name, pin):
    monkeypatch.setattr(module.shutil, "which", lambda name: uv)
    assert install(InstallConfig(name)) == 0
    assert [("--no-deps" in command, pin in command) for command in ran[1:3]] == [
        (False, False),
        (True, True),
    ]
    assert json.loads((home(name) / DONE).read_text())["name"] == name
    assert python_of(name).parent.parent == home(name)
    ran.clear()
    assert install(InstallConfig(name)) == 0 and not ran
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
