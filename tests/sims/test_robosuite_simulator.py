"""robosuite under evaluation: what fits is told before anything starts; the real thing where it is installed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldmodel.config import UserError
from worldmodel.data.formats.conventions import matrix_from_xyzw, six_from_matrix
from worldmodel.evaluate import starts
from worldmodel.evaluate.config import EvaluateConfig
from worldmodel.evaluate.evaluate import evaluate, other_versions, settle
from worldmodel.evaluate.initial_states import Starts, StartsError, find
from worldmodel.policies.load import LoadedPolicy
from worldmodel.processes import Pool
from worldmodel.schema import STATE as BODY
from worldmodel.schema import image_key
from worldmodel.sims.base import SEED, STATE, InitialState, SimulatorSpec
from worldmodel.sims.make import check, make, open_slot, slots_of
from worldmodel.sims.remote.process import DONE, home
from worldmodel.sims.robosuite import simulator as module
from worldmodel.sims.robosuite.client import CAMERAS, RobosuiteConfig
from worldmodel.sims.robosuite.client import RobosuiteEnv as Real

installed = pytest.mark.skipif(not (home("robosuite") / DONE).exists(), reason="worldmodel env install robosuite")
FRONT, CAN = image_key("agentview"), "robosuite:PickPlaceCan"


class Still:
    """A policy that nobody asks."""

    chunk_size = 16
    n_action_steps = 8

    def reset(self) -> None: ...

    def act(self, observations: Any) -> np.ndarray:
        return np.zeros((1, 16, 10), np.float32)


class FakeSuite:
    """As much of a `RobosuiteEnv` as an exam needs: the hand counts steps, and the third action's height decides."""

    about: dict[str, Any] = {"hertz": 20, "gl": "none", "cameras": CAMERAS, "versions": {}}

    def __init__(self, horizon: int = 6) -> None:
        self.config, self.horizon = RobosuiteConfig(horizon=horizon), horizon
        self.steps, self.success, self.looks, self.closed = 0, False, 0, False

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.seed, self.steps = (seed, 0) if options is None else (int(options["state"][0]), 0)
        self.success = self.seed % 4 == 0
        return self.observe(), {}

    def advance(self, action: np.ndarray, draw: bool = False) -> None:
        self.steps += 1
        self.looks += draw
        self.success = bool(self.steps >= 3 and action[2] > 1)

    @property
    def over(self) -> bool:
        return not self.success and self.steps >= self.horizon

    def observe(self) -> dict[str, np.ndarray]:
        self.looks += 1
        frame = np.full((8, 8, 3), self.steps, np.uint8)
        return {FRONT: frame, BODY: np.full(9, self.steps, np.float32)}

    def privileged(self) -> dict[str, np.ndarray]:
        return {"robot0_eef_pos": np.array([0, 0, 1.0]), "Can_pos": np.array([0, 0, 0.1 * self.steps])}

    def get_state(self) -> np.ndarray:
        return np.array([self.seed, 0.5])

    def fingerprint(self) -> dict[str, Any]:
        return {"robosuite": "1", "mujoco": "2", "gl": "none", "scene_sha256": "s", "size": 8, "cameras": ["agentview"]}

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeSuite:
    env = FakeSuite()
    monkeypatch.setattr(module, "open_task", lambda *asked: env)
    monkeypatch.setattr(module, "lines", lambda env: ["what it is"])
    return env


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An installation that is none."""
    monkeypatch.setenv("WORLDMODEL_ENVS", str(tmp_path))
    (tmp_path / "robosuite").mkdir()
    (tmp_path / "robosuite" / DONE).write_text("{}")
    return tmp_path


def at(state: np.ndarray, index: int = 0) -> InitialState:
    return InitialState(index, 5, state, "0" * 64)


def test_an_episode_is_looked_at_once_per_decision_and_filmed_at_every_step(fake: FakeSuite, tmp_path: Path) -> None:
    slot = open_slot(SimulatorSpec(CAN, ("agentview",), 8))
    start, actions = at(np.array([5.0, 0.5])), np.zeros((4, 10), np.float32)
    assert slot.begin(start).observation is not None and fake.looks == 1
    moment = slot.advance(actions, record=False)
    assert (moment.steps, moment.done, fake.looks) == (4, False, 2) and moment.observation is not None
    assert moment.observation[BODY].tolist() == [4] * 9
    moment = slot.advance(actions, record=False)
    assert (moment.steps, moment.done, moment.success) == (6, True, False), "the time limit ends it"
    assert moment.observation is None and moment.stats["raised"] == pytest.approx(0.6)
    slot.begin(start)
    assert slot.advance(actions + 2, record=False).success, "and success does, at once"
    assert slot.film(start, actions + 2, str(tmp_path / "0.mp4")).steps == 3
    assert (tmp_path / "0.mp4").stat().st_size > 0 and (tmp_path / "0.jpg").is_file()
    with pytest.raises(ValueError, match="already solved"):
        slot.begin(at(np.array([4.0, 0.5])))
    lift = open_slot(SimulatorSpec("robosuite:Lift", ("agentview",), 8))
    lift.begin(start)
    assert lift.simulator.stats() == {}


def test_starts_are_states_of_unsolved_draws(fake: FakeSuite) -> None:
    simulator = make(SimulatorSpec(CAN, ()))
    frozen = starts.freeze(simulator, 6, seed=3)
    simulator.close()
    assert (frozen.task, frozen.kind, frozen.refused, fake.closed) == (CAN, STATE, 2, True)
    assert frozen.states[:, 0].tolist() == list(frozen.seeds) and all(seed % 4 for seed in frozen.seeds)
    assert min(frozen.seeds) >= starts.FIRST_SEED[STATE] > 2**31, "above every seed that collect accepts"
    assert frozen.fingerprint == {"robosuite": "1", "mujoco": "2", "scene_sha256": "s"}


def settled(loaded: LoadedPolicy, frozen: Starts) -> Any:
    return settle(EvaluateConfig(out="unused", task=CAN, episodes=1), loaded, frozen, Path("s.npz"))


def test_a_simulator_says_what_it_is(fake: FakeSuite, pretended: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frozen = starts.freeze(make(SimulatorSpec(CAN)), 2, seed=3)
    loaded = LoadedPolicy(Still(), "theirs", "0" * 64, ("agentview",), 8, action_dim=10, state_dim=9)
    this = settled(loaded, frozen)
    assert this.rate == 20 and this.simulator == SimulatorSpec(CAN, ("agentview",), 8)
    assert capsys.readouterr().out == "what it is\n"
    assert this.fingerprint["gl"] == "none" and this.notes == [] and fake.closed
    older = Starts(CAN, frozen.states, frozen.seeds, {**frozen.fingerprint, "robosuite": "0"})
    assert other_versions(older, this.fingerprint) == ["starts were frozen under robosuite 0 and rolled out under 1"]
    seeds = Starts(CAN, frozen.states, frozen.seeds, frozen.fingerprint, kind=SEED)
    with pytest.raises(StartsError, match="kind 'seed', which robosuite:PickPlaceCan does not have"):
        settled(loaded, seeds)


@pytest.mark.parametrize(
    ("has", "expected"),
    [
        ({"action_dim": 7}, "gives 7 numbers for an action, expected 10"),
        ({"state_dim": 4}, "reads a state of 4 numbers, expected 9"),
        ({"history": {"observation.audio": 8}}, "'observation.audio' is wanted, and this simulator does not show it"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    has: dict[str, Any], expected: str, fake: FakeSuite, pretended: Path
) -> None:
    known: dict[str, Any] = {"cameras": ("agentview",), "size": 8, "action_dim": 10, "state_dim": 9}
    loaded = LoadedPolicy(Still(), "theirs", "0" * 64, **{**known, **has})
    with pytest.raises(UserError, match=expected) as told:
        settled(loaded, Starts(CAN, np.zeros((1, 2)), (1,), {}))
    assert "\n" not in str(told.value)


def test_any_simulator_shows_several_observations_at_once(fake: FakeSuite) -> None:
    slot = open_slot(SimulatorSpec(CAN, ("agentview",), 8, n_obs_steps=3))
    first = slot.begin(at(np.array([5.0, 0.5]))).observation
    assert first is not None and first[BODY][:, 0].tolist() == [0, 0, 0]
    seen = slot.advance(np.zeros((2, 10), np.float32)).observation
    assert seen is not None and seen[BODY][:, 0].tolist() == [0, 1, 2] and seen[FRONT].shape == (3, 8, 8, 3)
    seen = slot.advance(np.zeros((3, 10), np.float32)).observation
    assert seen is not None and seen[BODY][:, 0].tolist() == [3, 4, 5]


def test_names_are_checked_before_anything_starts(
    pretended: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    check(SimulatorSpec(CAN))
    with pytest.raises(UserError, match=r"perturb=light: robosuite:PickPlaceCan cannot be perturbed"):
        evaluate(EvaluateConfig(out="unused", task=CAN, perturb="light"))
    with pytest.raises(UserError, match="did you mean 'robosuite:PickPlaceCan'"):
        check(SimulatorSpec("robosuite:PickPlaceCam"))
    monkeypatch.setenv("WORLDMODEL_ENVS", str(tmp_path / "nowhere"))
    for verb in (evaluate, starts.starts):
        config = EvaluateConfig if verb is evaluate else starts.StartsConfig
        with pytest.raises(UserError, match="run `worldmodel env install robosuite`"):
            verb(config(out=str(tmp_path / "unused"), task=CAN))
    assert not (tmp_path / "unused").exists()


def test_shipped_starts_are_apart() -> None:
    validation, test = (Starts.load(find(split, CAN)) for split in ("validation", "test"))
    assert validation.task == test.task == CAN and validation.kind == STATE
    assert validation.fingerprint == test.fingerprint
    assert not set(validation.seeds) & set(test.seeds) and not set(validation.hashes) & set(test.hashes)


def children(pid: int) -> list[int]:
    """Living children of a process, from /proc."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(folder.name))
    return found


@installed
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_each_slot_has_a_simulator_that_ends_with_its_worker() -> None:
    frozen = Starts.load(find("validation", CAN))
    with Pool(slots_of(SimulatorSpec(CAN, ("agentview",), 16)), slots=2, processes=1, timeout=400) as simulators:
        for slot, start in enumerate(frozen.first(2)):
            simulators.ask(slot, "begin", start)
        first = {answer.slot: answer.value for answer in simulators.answers()}
        worker = simulators._children[0].process.pid
        assert worker is not None
        processes = children(worker)
        assert len(processes) == 2, "one each"
        hands = {}
        for slot, moment in first.items():
            assert moment is not None and moment.observation is not None
            hands[slot] = moment.observation[BODY][:3]
            assert moment.observation[FRONT].std() > 10
            turned = six_from_matrix(matrix_from_xyzw(moment.observation[BODY][3:7]))
            action = np.concatenate([hands[slot] + [0, 0, 0.05 if slot else -0.05], turned, [-1]])
            simulators.ask(slot, "advance", np.tile(action, (6, 1)).astype(np.float32), False)
        for answer in simulators.answers():
            assert answer.value is not None and answer.value.observation is not None
            assert answer.value.steps == 6 and set(answer.value.observation) == {FRONT, BODY}
            rise = answer.value.observation[BODY][2] - hands[answer.slot][2]
            assert (rise > 0.005) if answer.slot else (rise < -0.005), f"each obeys its own actions: {rise}"
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in processes) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in processes), "killed workers leave no simulators"


@installed
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_looking_or_not_is_the_same_episode() -> None:
    env: Real = module.open_task(CAN, 16, ("agentview",))
    try:
        seen, _ = env.reset(options={"state": Starts.load(find("validation", CAN)).states[0]})
        start, action = env.get_state(), np.concatenate([seen[BODY][:3] - 0.03, [1, 0, 0, 0, -1, 0, -1]])
        ends = []
        for draw in (True, False):
            env.set_state(start)
            for _ in range(8):
                env.advance(action, draw)
                assert ("agentview_image" in env._found) == draw
            ends.append((env.observe(), env.get_state()))
        np.testing.assert_array_equal(ends[0][1], ends[1][1])
        np.testing.assert_array_equal(ends[0][0][FRONT], ends[1][0][FRONT])
        with pytest.raises(ValueError, match="no rotation"):
            env.advance(np.zeros(10))
    finally:
        env.close()
