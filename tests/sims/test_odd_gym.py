"""Gymnasium envs as people have them: they work, or one line names the env and says what is the matter."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import oddgym  # noqa: F401  (registers the envs)
import pytest

from worldmodel.collect import CollectConfig, collect
from worldmodel.config import UserError
from worldmodel.data import EpisodeStore
from worldmodel.data.source import open_sources
from worldmodel.schema import ACTION, STATE, image_key
from worldmodel.sims.base import InitialState, Simulator, SimulatorSpec
from worldmodel.sims.gymnasium.name import Rule
from worldmodel.sims.make import make


def opened(name: str, query: str = "") -> Simulator:
    return make(SimulatorSpec(f"gym:oddgym/{name}-v0{query}", size=64))


def greys(simulator: Simulator, camera: str, steps: int = 3) -> list[list[int]]:
    """One pixel of the camera at the start and after each of so many steps."""
    simulator.reset(InitialState(0, 1))
    found = [simulator.observe()[image_key(camera)][0, 0].tolist()]
    for _ in range(steps):
        simulator.step(np.zeros(2, np.float32))
        found.append(simulator.observe()[image_key(camera)][0, 0].tolist())
    return found


@pytest.mark.parametrize("name", ["Stack", "StackBehind", "ColourStack"])
def test_of_stacked_frames_the_newest_is_seen_and_it_is_said(name: str) -> None:
    simulator = opened(name)
    assert greys(simulator, "image") == [[20] * 3, [30] * 3, [40] * 3, [50] * 3]
    assert any("the last of 4 stacked frames" in line for line in simulator.info.lines)
    assert simulator.info.state_dim == 1, "frames are no state"


def test_frames_that_may_be_grey_or_coloured_are_refused() -> None:
    with pytest.raises(UserError, match="9 grey frames, or 3 of three colours"):
        opened("Nine")


def test_a_picture_of_floats_is_a_picture() -> None:
    simulator = opened("FloatPicture")
    assert greys(simulator, "pixels", 2) == [[20] * 3, [30] * 3, [40] * 3] and simulator.info.state_dim == 2


@pytest.mark.parametrize("name", ["Function", "NoKeyword", "LateClose"])
def test_envs_without_render_mode_or_with_a_failing_close_work(name: str) -> None:
    simulator = opened(name)
    assert simulator.info.cameras == ("pixels",)
    simulator.close()


def test_a_step_of_four_values_is_one_line_that_names_the_env() -> None:
    with pytest.raises(UserError, match=r"task=gym:oddgym/OldApi-v0: .*Gymnasium's step gives five values"):
        opened("OldApi")


def test_actions_are_clipped_in_the_boxs_own_numbers() -> None:
    simulator = opened("Double")
    simulator.reset(InitialState(0, 1))
    simulator.step(np.array([0.1, -5], np.float32))
    expert = simulator.expert(0)
    assert expert is not None
    expert.reset()
    simulator.step(expert.act().executed)


def test_what_is_recorded_of_whole_numbers_is_what_was_sent() -> None:
    simulator = opened("Whole")
    simulator.reset(InitialState(0, 1))
    np.testing.assert_array_equal(simulator.allowed(np.array([3.85, 99])), np.array([4, 10], np.float32))
    expert = simulator.expert(3, name="random")
    assert expert is not None
    expert.reset()
    for _ in range(3):
        step = expert.act()
        simulator.step(step.executed)
        np.testing.assert_array_equal(simulator.env.unwrapped.sent, step.label)


def test_success_may_be_told_as_an_array() -> None:
    assert str(opened("ArrayInfo", "?success=success").info.success) == "info['success']"
    rule = Rule("info", "success")
    assert rule.holds({"success": np.array([True])}, False, False, 0) is True
    assert rule.holds({"success": np.array([False])}, False, False, 0) is False


def test_a_module_is_imported_as_gymnasium_does() -> None:
    assert make(SimulatorSpec("gym:oddgym:Plain-v0", size=64)).info.cameras == ("pixels",)
    assert make(SimulatorSpec("gym:oddgym:oddgym/Never-v0", size=64)).info.max_steps == 20
    with pytest.raises(UserError, match="there is no module 'nosuch' to import"):
        make(SimulatorSpec("gym:nosuch:Plain-v0"))


def wanted(tmp_path: Path, name: str, **options: object) -> CollectConfig:
    given = {"task": f"gym:oddgym/{name}-v0", "expert": "random", "size": 64, "workers": "1", "noise": 0.0}
    return CollectConfig(out=str(tmp_path / "s"), **{**given, **options})  # type: ignore[arg-type]


def test_an_expert_that_never_succeeds_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none of 7 episodes met the success rule; expert=random does not"):
        collect(wanted(tmp_path, "Never", episodes=1, give_up=7))
    kept = wanted(tmp_path / "kept", "Never", episodes=2, failures=True)
    assert collect(kept) == 0
    store = EpisodeStore.open(kept.out)
    assert store.episodes == 2 and not store.success.any()


def test_numbers_that_are_not_finite_are_told_where_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = wanted(tmp_path, "Nan", episodes=2)
    assert collect(config) == 0
    place = f"{STATE}[0] at step 3 of episode 0 is not finite"
    assert f"note: {place}" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"observation.state\[0\] at step 3 of episode 0 is not finite.*data health"):
        open_sources(config.out)


def test_the_recorded_action_of_a_saturated_range_is_finite_and_exact(tmp_path: Path) -> None:
    config = wanted(tmp_path, "Double", expert="scripted", episodes=1)
    assert collect(config) == 0
    recorded = EpisodeStore.open(config.out).array(ACTION)[:]
    assert (recorded == np.float32([0.1, -0.1])).all()


@pytest.mark.parametrize("words", [["collect", "task=lift_can", "workers=1"], ["collect", "task=gym:Reacher-v5"],
                                   ["starts", "task=gym:Reacher-v5"]])  # fmt: skip
@pytest.mark.parametrize("backend", ["foo", "glfw"])
def test_a_wrong_backend_is_one_line(words: list[str], backend: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "worldmodel.cli", *words, "episodes=1", f"out={tmp_path / 's.npz'}"]
    env = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WORLDMODEL_GL_CHOSEN")}
    done = subprocess.run(command, env=env | {"MUJOCO_GL": backend}, capture_output=True, text=True)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"worldmodel: MUJOCO_GL={backend!r} does not work here") and "unset MUJOCO_GL" in last
    assert "Traceback" not in done.stderr and "make room" not in done.stderr
