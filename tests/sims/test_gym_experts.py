"""The experts on the real envs, and two short episodes of each through the verbs; Meta-World where it is installed."""

import json
from itertools import pairwise

import numpy as np
import pytest

from worldmodel import checkpoint, cli
from worldmodel.assets import asset
from worldmodel.backbone import BackboneConfig
from worldmodel.config import UserError
from worldmodel.data import EpisodeStore
from worldmodel.evaluate.initial_states import SPLITS, Starts, find
from worldmodel.model import ModelConfig, WorldModel
from worldmodel.schema import STATE, image_key
from worldmodel.sims.base import SEED, InitialState, SimulatorSpec
from worldmodel.sims.gymnasium.experts import LINKS, bends
from worldmodel.sims.gymnasium.pusht_expert import CORNERS, around, distance, placed
from worldmodel.sims.gymnasium.simulator import GymSimulator
from worldmodel.sims.make import open_slot
from worldmodel.sims.remote.process import DONE, home

PUSHT = "gym:gym_pusht/PushT-v0?obs_type=pixels_agent_pos"
REACHER = "gym:Reacher-v5?state=0:4+6:8&success=reward_dist>-0.01"
NEAR, RULES = "default_camera_config.distance=0.55&default_camera_config.elevation=-90", REACHER.partition("?")[2]
METAWORLD = "metaworld:pick-place-v3?state=0:4"
needs = {PUSHT: "gym_pusht", REACHER: "imageio"}
metaworld = pytest.mark.skipif(not (home("metaworld") / DONE).exists(), reason="worldmodel env install metaworld")


def solved(task: str, seed: int, noise: float) -> int:
    """Steps that the expert needs, or 0."""
    env = GymSimulator(SimulatorSpec(task))
    env.reset(InitialState(0, seed))
    expert = env.expert(seed, noise)
    expert.reset()
    while not env.over and not env.success:
        env.step(expert.act().executed)
    env.close()
    return env.steps if env.success else 0


@pytest.mark.parametrize("task", [PUSHT, REACHER])
def test_experts_solve_their_task_pushed_or_not(task):
    pytest.importorskip(needs[task])
    assert 0 < solved(task, 1, noise=0.0) < 250 and 0 < solved(task, 2, noise=1.0) < 250


@pytest.mark.parametrize("task", [PUSHT, REACHER])
def test_two_short_episodes_through_the_verbs(task, tmp_path):
    pytest.importorskip(needs[task])
    out, name = tmp_path / "store", f"task={task}"
    assert cli.main(["collect", name, "episodes=2", "size=32", "workers=1", f"out={out}"]) == 0
    store = EpisodeStore.open(out)
    camera = store.meta["provenance"]["recipe"]["cameras"][0]
    assert (store.rate, store.relative) == ((10, 2) if task == PUSHT else (50, 0)) and store.success.all()
    assert store.array(image_key(camera))[:].std() > 10
    shape = {
        "cameras": (camera,),
        "size": 32,
        "tasks": (task,),
        "action_dim": 2,
        "relative": 0,
        "control_hz": store.rate,
    }
    network = BackboneConfig(width=32, depth=2, heads=2)
    model = WorldModel(ModelConfig(backbone=network, state_dim=store.row(STATE)[0], **shape))
    checkpoint.save(model, tmp_path / "model", {})
    starts, report = tmp_path / "starts.npz", tmp_path / "report"
    assert cli.main(["starts", name, "episodes=2", f"out={starts}"]) == 0
    words = ["episodes=2", "batch=2", "workers=1", "videos=0", "device=cpu", f"starts={starts}", f"out={report}"]
    assert cli.main(["evaluate", f"checkpoint={tmp_path / 'model'}", name, *words]) == 0
    found = json.loads((report / "report.json").read_text())
    assert found["task"] == task and found["episodes"] == 2 and found["fingerprint"]["rate"] == store.rate


def test_the_way_around_keeps_clear():
    pose = np.array([250.0, 200.0, 0.4])
    finger, goal = placed(np.array([[0.0, -60.0], [40.0, 60.0]]), pose)
    way = [finger, *around(finger, goal, pose)]
    np.testing.assert_allclose(way[-1], goal)
    assert len(way) > 2, "the straight way leads through the T"
    middle = np.concatenate([np.linspace(a, b, 50) for a, b in pairwise(way)])
    frame = np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    assert distance((middle - pose[:2]) @ frame).min() > 15
    assert (np.abs(distance(CORNERS)) < 1e-9).all() and distance(np.array([0.0, 60.0])) == -15


def test_both_bends_reach():
    target = np.array([-0.05, 0.13])
    for shoulder, elbow in bends(target):
        inner = LINKS[0] * np.array([np.cos(shoulder), np.sin(shoulder)])
        tip = inner + LINKS[1] * np.array([np.cos(shoulder + elbow), np.sin(shoulder + elbow)])
        np.testing.assert_allclose(tip, target, atol=1e-9)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(("task", "count"), [(PUSHT, 200), (f"gym:Reacher-v5?{NEAR}&{RULES}", 200), (METAWORLD, 100)])
def test_shipped_starts_begin_as_they_were_frozen(task, count, split):
    """If this fails after an update of the env, the protocol has changed: freeze anew and say so in eval/README.md."""
    frozen = Starts.load(find(split, task))
    assert (frozen.task, frozen.kind, len(frozen)) == (task, SEED, count)
    assert frozen.sha256 in asset("eval/README.md").read_text(), "the card states the hash of every file"
    if task == METAWORLD:
        return
    pytest.importorskip(needs.get(task, "imageio"))
    slot = open_slot(SimulatorSpec(task))
    assert all(slot.begin(start).observation for start in frozen.first(200)[::80])
    slot.simulator.close()


@metaworld
def test_meta_world_in_a_process_of_its_own():
    env = GymSimulator(SimulatorSpec(METAWORLD, size=32))
    assert env.info.rate == 80 and env.info.cameras == ("corner4", "gripperPOV") and "scripted" in env.info.experts
    env.reset(InitialState(0, 4))
    first = env.observe()
    assert first[STATE].shape == (4,) and first[image_key("gripperPOV")].std() > 10
    digest = env.start_state()
    env.step(np.zeros(4))
    env.reset(InitialState(0, 4))
    assert (env.start_state() == digest).all()
    env.close()
    assert 0 < solved(METAWORLD, 0, noise=0.0) < 100
    with pytest.raises(UserError, match="did you mean 'pick-place-v3'"):
        GymSimulator(SimulatorSpec("metaworld:pick-plaice-v3"))
