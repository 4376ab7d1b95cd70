"""A policy in a Python file of the user's own is evaluated like any other; what is wrong with it is one line."""

import hashlib
import json
from pathlib import Path

import pytest

from worldmodel.config import UserError
from worldmodel.evaluate.config import EvaluateConfig
from worldmodel.evaluate.evaluate import evaluate
from worldmodel.policies.load import PolicyOptions, load_policy

STILL = """
import numpy as np

class Still:
    chunk_size = 16

    def __init__(self, task):
        self.task = task

    def reset(self):
        pass

    def act(self, observations):
        position = observations["observation.state"][:, :3]
        action = np.concatenate([position, -np.ones((len(position), 1))], axis=1)
        return np.repeat(action[:, None], self.chunk_size, axis=1).astype(np.float32)

class Small(Still):
    cameras, size, history = ("wrist",), 48, {"observation.state": 3}

def broken():
    return object()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "still.py"
    path.write_text(STILL)
    return path


def test_it_is_evaluated(file: Path, tmp_path: Path) -> None:
    name, out = f"python:{file}:Still", tmp_path / "out"
    config = EvaluateConfig(
        out=str(out), checkpoint=name, task="lift_can", episodes=1, batch=1, workers=1, videos=1, n_action_steps=16
    )
    assert evaluate(config) == 0
    found = json.loads((out / "report.json").read_text())
    assert (found["successes"], found["episodes"]) == (0, 1)
    assert hashlib.sha256(STILL.encode()).hexdigest() in json.dumps(found)
    assert (out / "videos" / "0000.mp4").is_file()


def test_its_attributes_choose_what_it_observes(file: Path) -> None:
    loaded = load_policy(f"python:{file}:Small", "place_can", PolicyOptions(8))
    assert (loaded.cameras, loaded.size, loaded.history) == (("wrist",), 48, {"observation.state": 3})
    assert loaded.policy.task == "place_can"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        ("nowhere.py:Still", PolicyOptions(8), "no file 'nowhere.py'; write python:FILE.py:NAME"),
        ("{file}", PolicyOptions(8), "still.py: no name; write python:FILE.py:NAME"),
        ("{file}:Stil", PolicyOptions(8), "no class or function 'Stil'; did you mean 'Still'"),
        ("{file}:broken", PolicyOptions(8), "what broken gives has no 'act'"),
        ("{file}:Still", PolicyOptions(17), "gives 16 actions at a time; use fewer"),
        ("{file}:Still", PolicyOptions(8, steps=2), "has neither steps= nor instruction="),
    ],
)
def test_what_is_wrong_is_one_line(name: str, options: PolicyOptions, line: str, file: Path) -> None:
    with pytest.raises(UserError, match=line.replace("(", r"\(")):
        load_policy(f"python:{name.format(file=file)}", "lift_can", options)
