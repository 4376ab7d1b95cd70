"""The verb for real, in miniature: cells train and sit exams in processes of their own, and their rows resume."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from small import small_store

from research.study import StudyConfig, rows, selfflow
from research.study.arms import ARMS
from research.study.cell import curves
from research.study.plan import Cell, Study, StudyData, changed, recipe_of
from worldmodel.backbone import BackboneConfig
from worldmodel.config import UserError
from worldmodel.data import EpisodeStore
from worldmodel.model import WorldModel
from worldmodel.objectives import OBJECTIVES
from worldmodel.settings import load
from worldmodel.tokens.listed import complete
from worldmodel.train.config import ModesConfig, TrainConfig

GROUND = StudyData(("abc",), "def", ("lift_can",), ("xyz",))


@pytest.fixture
def config(tmp_path: Path) -> StudyConfig:
    small_store(tmp_path / "data", lengths=(20, 20), task="lift_can")
    return StudyConfig(
        plan="tiny",
        task="lift_can",
        data=str(tmp_path / "data"),
        out=str(tmp_path / "out"),
        report=str(tmp_path / "report"),
        arms=("flow",),
        seeds=(0,),
        demonstrations=(1,),
        steps=4,
        batch=4,
        checkpoints=2,
        episodes=2,
        curve_episodes=1,
        simulators=2,
        imagine=1,
        probe=False,
        holdout=0.5,
        compile=False,
        backbone=BackboneConfig(width=32, depth=2, heads=2),
        modes=ModesConfig(policy=0.4, joint=0.3, forward=0.3, inverse=0, video=0),
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_cells_run_resume_and_are_reported(config: StudyConfig, capsys: pytest.CaptureFixture[str]) -> None:
    both = replace(config, arms=("flow", "self_flow"))
    assert selfflow(both) == 0
    first, second = (rows.path_of(config, Cell(arm, 1, 0)) for arm in both.arms)
    text, row = first.read_text(), rows.read(second)
    assert [at["step"] for at in row["checkpoints"]] == [2, 4]
    assert [len(at["solved"]) for at in row["checkpoints"]] == [1, 2]
    assert {"policy", "forward"} == set(row["checkpoints"][-1]["held_out"]) and row["cpu_seconds"] > 0
    assert len(row["imagination"]["psnr"]["imagined"]) == 16
    assert str(config.data) not in text, "rows are committed: no paths of this machine"
    told = json.loads((config.folder / "report.json").read_text())
    assert told["cells"] == 2 and {"README.md", "index.html", "success.png"} <= {
        p.name for p in config.folder.iterdir()
    }
    # Half of a row is lost, and something is asked for that no row has: only that is done, with the weights there are.
    rows.write(second, {key: value for key, value in row.items() if key != "imagination"})
    assert selfflow(replace(both, arms=("self_flow",), sampler_steps=(1,))) == 0
    grown = rows.read(second)
    assert len(grown["sampled"]["1"]) == 2 and {key: grown[key] for key in row} == row
    assert first.read_text() == text
    assert selfflow(both) == 0, "nothing is left to do"
    with pytest.raises(UserError, match=r"was made with steps=4, now 6.*use another plan= name"):
        selfflow(replace(both, steps=6))
    assert "H2c" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ctrl_c_stops_the_cells_and_keeps_their_states(config: StudyConfig, tmp_path: Path) -> None:
    words = [f"{key}={value}" for key, value in asdict(replace(config, steps=100_000)).items() if key in PLAIN]
    sizes = [f"backbone.{key}={value}" for key, value in asdict(config.backbone).items()]
    command = [sys.executable, "-m", "worldmodel.cli", "study", "selfflow", *words, *sizes]
    command += ["arms=[flow,mip]", "seeds=[0]", "demonstrations=[1]", "probe=false", "compile=false", "checkpoints=2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    logs = [tmp_path / "out" / "tiny" / name / "metrics.jsonl" for name in ("flow-1-0", "mip-1-0")]
    try:
        until = time.monotonic() + 300
        while not all(log.exists() and log.stat().st_size for log in logs) and time.monotonic() < until:
            time.sleep(0.2)
        os.kill(process.pid, signal.SIGINT)
        out, error = process.communicate(timeout=200)
    finally:
        process.kill()  # its cells end with it
    assert process.returncode == 130, error
    assert "interrupted: 0 of 2 cells are done; the same command goes on" in out
    for log in logs:
        assert list((log.parent / "states").glob("[0-9]*")), "stopped cells saved their step"


PLAIN = {
    "plan",
    "task",
    "data",
    "out",
    "report",
    "steps",
    "batch",
    "episodes",
    "curve_episodes",
    "simulators",
    "holdout",
}


def test_a_row_that_was_edited_or_is_of_another_plan_is_refused(config: StudyConfig) -> None:
    study, cell = Study(config, GROUND), Cell("flow", 1, 0)
    path = rows.path_of(config, cell)
    rows.write(path, rows.begin(study, cell) | {"checkpoints": []})
    assert rows.begin(study, cell)["checkpoints"] == []
    other = Study(replace(config, batch=8), replace(GROUND, data=("other",)))
    with pytest.raises(UserError, match=r"flow-1-0.json: was made with batch=4, now 8; data=..abc.., now ..other.."):
        rows.begin(other, cell)
    with pytest.raises(UserError, match="batch=4, now 8"):
        rows.check_all(Study(replace(config, batch=8, arms=("mip",)), GROUND))
    path.write_text(path.read_text().replace('"batch": 4', '"batch": 8'))
    with pytest.raises(UserError, match="settings were edited"):
        rows.read(path)


def test_arms_that_are_compared_need_the_very_same_recording(config: StudyConfig) -> None:
    """A recipe run on another processor: a group of rows that is whole stays, one that is not cannot be completed."""
    here, there = (Study(config, replace(GROUND, recordings=(name,))) for name in ("here", "there"))
    cell = Cell("flow", 1, 0)
    whole = {"checkpoints": [], "imagination": {"psnr": {}}, "made": {"data": ["there"]}}
    rows.write(rows.path_of(config, cell), rows.begin(here, cell) | whole)
    rows.check_all(here)
    more = replace(config, arms=("flow", "mip"))
    rows.check_all(replace(there, plan=more))
    with pytest.raises(UserError, match=r"mip-1-0 is not whole, but flow-1-0 was made from another recording .*there"):
        rows.check_all(replace(here, plan=more))
    rows.check_all(replace(here, plan=replace(more, seeds=(1,))))


def test_the_recipe_names_data_whatever_rendered_it(config: StudyConfig) -> None:
    store = EpisodeStore.open(config.data)
    assert recipe_of(store) == store.fingerprint, "no recipe: its content alone says what it is"
    recipe = {"tasks": ["lift_can"], "seed": 7, "microphone": False}
    told = {"recipe": recipe, "environment": {"lift_can": {"scene_sha256": "a"}}}
    store.meta["provenance"] = told
    named = recipe_of(store)
    store.meta["provenance"] = told | {"recipe": {"tasks": ["lift_can"], "seed": 7}}
    assert recipe_of(store) == named != store.fingerprint, "options that came later and are off change nothing"
    store.meta["provenance"] = told | {"recipe": recipe | {"seed": 8}}
    assert recipe_of(store) != named


def test_settings_that_are_new_do_not_part_rows() -> None:
    before = {"steps": 4}
    assert rows.difference(before, {"steps": 4, "patch": TrainConfig(data="", out="").patch}) == ""
    assert rows.difference(before, {"steps": 4, "patch": 8}) == "patch=16, now 8"


def test_cells_interleave_arms_within_sizes_within_seeds(config: StudyConfig) -> None:
    plan = replace(config, arms=("flow", "mip"), demonstrations=(10, 20), seeds=(0, 1))
    names = [cell.name for cell in plan.cells()]
    assert names[:4] == ["flow-10-0", "mip-10-0", "flow-20-0", "mip-20-0"] and names[4:] == [
        name[:-1] + "1" for name in names[:4]
    ]


@pytest.mark.parametrize(("steps", "checkpoints"), [(100, 4), (10, 3), (7, 2), (5, 5), (20, 1), (101, 4)])
def test_milestones_are_steps_that_are_saved(config: StudyConfig, steps: int, checkpoints: int) -> None:
    plan = replace(config, steps=steps, checkpoints=checkpoints)
    found = plan.milestones("flow")
    assert len(found) == checkpoints and found[-1] == steps
    assert all(step % plan.every("flow") == 0 or step == steps for step in found)


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_trains_what_the_table_says(config: StudyConfig, arm: str) -> None:
    study = Study(replace(config, features="folder"), GROUND)
    found, settings = study.training(Cell(arm, 10, 1)), study.settings(Cell(arm, 10, 1))
    assert settings.get("features") == (["xyz"] if arm == "repa" else None)
    assert found.objective.name == ARMS[arm].kind and ARMS[arm].kind in OBJECTIVES
    assert (found.modes.forward > 0) == (ARMS[arm].mixture == "joint")
    assert (found.demonstrations, found.seed) == (10, 1)
    for key, value in ARMS[arm].changes.items():
        inside = found
        for name in key.split("."):
            inside = getattr(inside, name)
        assert inside == (complete(value) if key == "modalities" else value)  # with all their options


@pytest.mark.parametrize("arm", ["flow", "flow_heard"])
def test_rows_of_older_versions_differ_in_nothing(config: StudyConfig, arm: str) -> None:
    now = Study(config, GROUND).settings(Cell(arm, 10, 1))
    heard = {name: value for name, value in now.items() if name.startswith("modalities")}
    old = {name: value for name, value in now.items() if name not in heard} | {"objective.frames_floor": 0.05}
    old |= {"audio": arm == "flow_heard", "objective.audio": 0.2, "noise.audio.mean": 0.0, "noise.audio.masked": 0.5}
    assert rows.difference(old, now) == ""
    assert "modalities.audio" in rows.difference(old | {"audio": arm == "flow"}, now)


def test_a_matched_arm_sees_as_many_policy_batches(config: StudyConfig) -> None:
    plan = replace(config, steps=1000, modes=ModesConfig(policy=0.7, joint=0.05, forward=0.15, inverse=0, video=0.1))
    study = Study(plan, GROUND)
    lengths = {arm: study.training(Cell(arm, 1, 0)).steps for arm in ("flow", "action_only", "action_only_matched")}
    assert lengths == {"flow": 1000, "action_only": 1000, "action_only_matched": 700}
    assert plan.milestones("action_only_matched") == [350, 700]
    assert study.final(Cell("action_only_matched", 1, 0)).name == "00000700"


def test_arms_start_from_the_same_weights() -> None:
    from small import CONFIG

    def weights(projector: bool, external: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(3)
        return WorldModel(CONFIG, projector, external).state_dict()

    plain = weights(False, 0)
    for heads in ((True, 0), (False, 8), (True, 8)):
        other = weights(*heads)
        assert all(torch.equal(value, other[name]) for name, value in plain.items())


def test_bad_plans_are_one_line(config: StudyConfig) -> None:
    with pytest.raises(UserError, match=r"arms=self_flaw: no such arm; did you mean 'self_flow'\?"):
        replace(config, arms=("self_flaw",))
    with pytest.raises(ValueError, match=r"arms=repa: needs features=FOLDER"):
        replace(config, arms=("flow", "repa"))
    with pytest.raises(ValueError, match=r"seeds=\[0, 0\]: expected one or more, each once"):
        replace(config, seeds=(0, 0))
    with pytest.raises(UserError, match=r"demonstrations=5: with holdout=0[.]5 the data has 1 episodes"):
        StudyData.of(replace(config, demonstrations=(5,)))
    with pytest.raises(UserError, match="task=place_can: the data holds lift_can"):
        StudyData.of(replace(config, task="place_can"))
    with pytest.raises(UserError, match="no rows"):
        selfflow(replace(config, report_only=True))
    with pytest.raises(UserError, match=r"framse: no such training key"):
        changed(TrainConfig(data="", out=""), "noise.framse", 1)


@pytest.mark.parametrize("name", ["smoke", "lift", "hard", "place_can"])
def test_named_plans_load(name: str) -> None:
    plan = load("study_selfflow", StudyConfig, [f"study={name}"])
    assert plan.plan == name and plan.cells() and plan.backbone.width == 128


def test_curves_are_thinned_to_means() -> None:
    log = [{"step": step, "policy/actions": float(step), "seconds": 1.0} for step in range(1, 121)]
    found = curves(log)
    assert list(found) == ["policy/actions"] and len(found["policy/actions"]) == 12
    assert found["policy/actions"][0] == [10, 5.5]
