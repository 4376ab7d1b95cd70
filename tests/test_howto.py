"""The how-to of a task of one's own, executed as written: files, then collect, train and evaluate, in small."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from test_docs import ROOT, blocks

from worldmodel import cli
from worldmodel.config import UserError
from worldmodel.evaluate.initial_states import Starts
from worldmodel.sims import base
from worldmodel.sims.base import InitialState, SimulatorSpec
from worldmodel.sims.make import check, describe, make

PAGE = ROOT / "docs" / "howto" / "task.md"
SMALL = {
    "collect": {"episodes": "2", "size": "48", "workers": "1"},
    "train": {"steps": "2", "model": "nano", "batch": "4", "compile": "false"},
    "evaluate": {"episodes": "1", "workers": "1", "batch": "1", "videos": "0"},
}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's files, and in it."""
    for language, text, _ in blocks(PAGE):
        if language == "python" and (named := re.match(r"# (\w+\.py)\n", text)):
            (tmp_path / named[1]).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["dot.py:Dot", "corner.py:CORNER"])
def test_the_commands_of_the_page_run(name: str, files: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines = [line for language, text, _ in blocks(PAGE) if not language for line in text.splitlines()]
    commands = [shlex.split(line) for line in lines if name.partition(".")[0] in line]
    assert [words[1] for words in commands] == ["collect", "train", "evaluate"]
    for _, verb, *options in commands:
        small = dict(option.split("=", 1) for option in options) | SMALL[verb]
        assert cli.main([verb, *(f"{key}={value}" for key, value in small.items())]) == 0
    told = capfd.readouterr()
    assert f"running the code of {files / name.partition(':')[0]}, because task= names it" in told.err
    kept = Starts.load(next((files / "outputs").glob("*_test/test.npz")))
    assert kept.task == name and len(kept) == 1


def test_what_is_wrong_with_a_file_is_one_line(files: Path) -> None:
    for task, message in (
        ("nowhere.py:Dot", "task=nowhere.py: no such file; write task=FILE.py:NAME"),
        ("dot.py:Dott", "dot.py has no 'Dott'; did you mean 'Dot'"),
        ("dot.py:np", "expected a subclass of Simulator or a Task"),
    ):
        with pytest.raises(UserError, match=message):
            check(SimulatorSpec(task))
    with pytest.raises(UserError, match="cannot be perturbed"):
        check(SimulatorSpec("dot.py:Dot", perturb="light"))


def test_a_changed_file_is_another_scene(files: Path) -> None:
    before = describe(SimulatorSpec("dot.py:Dot"))[1]["scene_sha256"]
    (files / "dot2.py").write_text((files / "dot.py").read_text() + "\n")
    assert describe(SimulatorSpec("dot2.py:Dot"))[1]["scene_sha256"] != before


def test_a_robot_task_may_have_a_scene_and_an_expert_of_its_own(files: Path) -> None:
    scene = files / "own.xml"
    scene.write_text((ROOT / "envs" / "can.xml").read_text() + "<!-- another -->\n")
    text = (files / "corner.py").read_text()
    text = text.replace('"can"', repr(str(scene))).replace('"fetches the can from the corner"', '"x", expert=Mine')
    more = "\nfrom worldmodel.sims.can.expert import Expert\n\n\nclass Mine(Expert):\n    pass\n\n\nCORNER"
    (files / "mine.py").write_text(text.replace("\nCORNER", more))
    simulator = make(SimulatorSpec("mine.py:CORNER", size=32))
    simulator.reset(InitialState(0, 1))
    assert type(simulator.expert(1)).__name__ == "Mine"
    ours = make(SimulatorSpec("place_can", size=32))
    assert simulator.fingerprint()["scene_sha256"] != ours.fingerprint()["scene_sha256"]


def test_an_installed_package_offers_tasks(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = files / "site" / "dotpackage"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text((files / "dot.py").read_text())
    info = files / "site" / "dotpackage-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dotpackage\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[worldmodel.tasks]\ndot = dotpackage:Dot\n")
    monkeypatch.syspath_prepend(str(files / "site"))
    base._offered.cache_clear()
    for task in ("dot", "dot:middle"):
        simulator = make(SimulatorSpec(task, size=32))
        assert simulator.info.task == task and simulator.info.cameras == ("top",)
        simulator.reset(InitialState(0, 1))
        np.testing.assert_array_equal(simulator.allowed(np.array([5.0, 0.0])), [1, 0])
    base._offered.cache_clear()
