"""A simulator is one file and one line: this one draws a dot, and is collected, trained on and evaluated by the verbs.

Workers are processes of their own, which import this module by its name: its folder is put on ``sys.path``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldmodel.backbone import BackboneConfig
from worldmodel.collect import CollectConfig, collect
from worldmodel.config import UserError
from worldmodel.data import EpisodeStore
from worldmodel.evaluate.config import EvaluateConfig
from worldmodel.evaluate.evaluate import evaluate
from worldmodel.evaluate.starts import StartsConfig, starts
from worldmodel.rollout import rollout
from worldmodel.schema import STATE, image_key
from worldmodel.sims.base import SIMULATORS, EnvInfo, ExpertStep, InitialState, Simulator, SimulatorSpec
from worldmodel.sims.make import describe, make
from worldmodel.train import TrainConfig, train
from worldmodel.train.config import LogConfig, ValidationConfig

TASK, EYE = "toy:dot", image_key("eye")


class ToySimulator(Simulator):
    """A dot in a square, whose velocity is the action; it is to be moved to the middle."""

    perturbations = ("none", "dark")
    frozen_with = ("scene_sha256",)

    def __init__(self, spec: SimulatorSpec) -> None:
        self.size, self.light = spec.size, 40 if spec.perturb == "dark" else 255
        self.info = EnvInfo(spec.task, ("eye",), spec.size, 10.0, 30, 2, 2, "within 0.1", ((-0.2,) * 2, (0.2,) * 2))

    def reset(self, start: InitialState) -> None:
        drawn = np.random.default_rng(max(start.seed, 0)).uniform(-1, 1, 2)
        self.place, self.steps = (start.state[:2].copy() if len(start.state) else drawn), 0
        self._judge()

    def step(self, action: np.ndarray, draw: bool = False) -> None:
        self.place, self.steps = np.clip(self.place + np.clip(action, -0.2, 0.2), -1, 1), self.steps + 1
        self._judge()

    def observe(self, draw: bool = True) -> dict[str, np.ndarray]:
        seen = {STATE: self.place.astype(np.float32)}
        if draw:
            row, column = ((self.place + 1) / 2 * (self.size - 3)).astype(int)
            seen[EYE] = np.zeros((self.size, self.size, 3), np.uint8)
            seen[EYE][row : row + 3, column : column + 3] = self.light
        return seen

    def get_state(self) -> np.ndarray:
        return self.place.astype(np.float64)

    def expert(self, seed: int, noise: float = 0.0, behaviour: str = "", name: str = "") -> ToyExpert:
        return ToyExpert(self)

    def stats(self) -> dict[str, Any]:
        return {"distance": round(float(np.linalg.norm(self.place)), 4)}

    def fingerprint(self) -> dict[str, Any]:
        return {"scene_sha256": "dot", "mujoco": "none", "cameras": ["eye"], "size": self.size}

    def _judge(self) -> None:
        self.success = bool(np.linalg.norm(self.place) < 0.1)
        self.over = self.steps >= 30


class ToyExpert:
    """Straight to the middle."""

    def __init__(self, simulator: ToySimulator) -> None:
        self.simulator = simulator

    def reset(self) -> None: ...

    def act(self) -> ExpertStep:
        action = np.clip(-self.simulator.place, -0.2, 0.2).astype(np.float32)
        return ExpertStep(action, action)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line."""
    monkeypatch.setitem(SIMULATORS, "toy", "test_toy_simulator:ToySimulator")
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.delitem(sys.modules, "test_toy_simulator", raising=False)


def test_a_simulator_is_one_file_and_one_line(tmp_path: Path) -> None:
    data, run, frozen = (str(tmp_path / name) for name in ("data", "run", "starts.npz"))
    assert collect(CollectConfig(out=data, task=TASK, episodes=3, size=32, workers="1", tail=2)) == 0
    store = EpisodeStore.open(data)
    assert (store.episodes, store.rate, store.tasks) == (3, 10, (TASK,)) and store.success.all()
    assert store.array("simulator_state")[:].shape == (store.steps, 2) and store.array(EYE)[:].any(axis=(1, 2, 3)).all()

    network = BackboneConfig(width=32, depth=2, heads=2)
    small = {"backbone": network, "steps": 2, "batch": 4, "compile": False, "log": LogConfig(every=1)}
    train(TrainConfig(data=data, out=run, holdout=0.0, validation=ValidationConfig(every=0), **small))  # type: ignore[arg-type]

    assert starts(StartsConfig(out=frozen, task=TASK, episodes=2)) == 0
    shown = {"starts": frozen, "episodes": 2, "batch": 2, "workers": 1, "videos": 1, "n_action_steps": 4}
    config = EvaluateConfig(out=str(tmp_path / "report"), task=TASK, checkpoint=run, perturb="dark", **shown)  # type: ignore[arg-type]
    assert evaluate(config) == 0
    report = json.loads((tmp_path / "report/report.json").read_text())
    assert report["task"] == TASK and report["episodes"] == 2 and report["perturb"] == "dark"
    lines = [json.loads(line) for line in (tmp_path / "report/episodes.jsonl").read_text().splitlines()]
    assert all(0 <= line["distance"] < 1.5 and line["seconds"] == line["steps"] / 10 for line in lines)
    assert len(list((tmp_path / "report/videos").glob("*.mp4"))) == 1


def test_what_it_cannot_do_is_refused() -> None:
    info, fingerprint = describe(SimulatorSpec(TASK, size=16))
    assert (info.cameras, info.rate, info.action_dim, fingerprint["size"]) == (("eye",), 10, 2, 16)
    with pytest.raises(UserError, match="perturb=light: toy:dot cannot be perturbed"):
        describe(SimulatorSpec(TASK, perturb="light"))
    with pytest.raises(UserError, match=r"'observation.audio' is wanted, and this simulator does not show it"):
        describe(SimulatorSpec(TASK, history={"observation.audio": 3}))
    with pytest.raises(UserError, match="toy:dot has only behaviour=expert"):
        collect(CollectConfig(out="unused", task=TASK, behaviour="play"))


def test_a_policy_may_drive_it_without_the_verbs() -> None:
    class Middle:
        chunk_size, n_action_steps = 4, 2

        def reset(self) -> None: ...

        def act(self, observations: Any) -> np.ndarray:
            return np.repeat(np.clip(-observations[STATE], -0.1, 0.1)[:, None], 4, axis=1)

    class World:
        """The face that Gymnasium asks for."""

        task = TASK

        def __init__(self) -> None:
            self.inside = make(SimulatorSpec(TASK, size=16))

        def reset(
            self, *, seed: int | None = None, options: dict[str, Any] | None = None
        ) -> tuple[Any, dict[str, Any]]:
            self.inside.reset(InitialState(0, seed or 0))
            return self.inside.observe(), {}

        def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            self.inside.step(action)
            return self.inside.observe(), 0.0, self.inside.success, self.inside.over, {}

    episode = rollout(Middle(), World(), 4)
    assert episode.success and episode.task == TASK and episode.info["chunks"] == -(-len(episode) // 2)
