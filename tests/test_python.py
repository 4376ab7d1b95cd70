"""worldmodel from Python: load, act, imagine, open_data, collect, train, evaluate; packages that can be called."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import small_store
from torch.utils.data import DataLoader

import worldmodel
from worldmodel.config import UserError

NANO = {"model": "nano", "batch": 4, "compile": False, "validation": {"every": 0}, "steps": 2}


@pytest.fixture(scope="module")
def shipped() -> Any:
    return worldmodel.load("shipped")


def observation(size: int = 96, batch: tuple[int, ...] = ()) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    frames = {f"observation.images.{name}": random.integers(0, 256, (*batch, size, size, 3), np.uint8)
              for name in ("scene", "wrist")}  # fmt: skip
    return {**frames, "observation.state": np.zeros((*batch, 4), np.float32)}


def run(code: str, cwd: Path, stdin: bool = False) -> str:
    words = [sys.executable, "-"] if stdin else [sys.executable, "-c", code]
    done = subprocess.run(words, input=code if stdin else None, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_is_cheap_and_names_are_callable_before_and_after_their_packages(tmp_path: Path) -> None:
    code = (
        "import sys, worldmodel; cheap = {'torch', 'numpy', 'hydra', 'mujoco'} & set(sys.modules)\n"
        "before = worldmodel.train, worldmodel.evaluate\n"
        "import worldmodel.evaluate, worldmodel.train.loop, worldmodel.evaluate.run\n"
        "from worldmodel.train import TrainConfig, train\n"
        "from worldmodel.collect import collect\n"
        "from worldmodel.evaluate.evaluate import evaluate\n"
        "names = [worldmodel.train, worldmodel.evaluate, worldmodel.collect, worldmodel.load, worldmodel.open_data]\n"
        "assert before == (worldmodel.train, worldmodel.evaluate) and all(map(callable, names))\n"
        "assert worldmodel.train is sys.modules['worldmodel.train'] and callable(train) and callable(collect)\n"
        "print(sorted(cheap), TrainConfig.__name__)"
    )
    assert run(code, tmp_path) == "[] TrainConfig\n"


def test_a_policy_acts_on_one_observation_or_a_batch(shipped: Any) -> None:
    shipped.reset()
    assert (shipped.task, shipped.cameras, shipped.chunk_size) == ("place_can", ("scene", "wrist"), 16)
    assert shipped.act(observation()).shape == (16, 4)
    assert shipped.act(observation(batch=(3,))).shape == (3, 16, 4)
    assert shipped.act(observation(size=240)).shape == (16, 4), "frames of a camera are cropped and resized"
    with pytest.raises(ValueError, match="this model needs camera 'wrist'; the observation has: scene"):
        shipped.act({k: v for k, v in observation().items() if "wrist" not in k})
    with pytest.raises(ValueError, match=r"neither frames nor 'observation.state', only nothing"):
        shipped.act({})


def test_a_policy_imagines_what_actions_lead_to(shipped: Any) -> None:
    chunk = shipped.act(observation())
    frames = shipped.imagine(observation(), chunk[:4])
    assert {key: value.shape for key, value in frames.items()} == {
        f"observation.images.{name}": (4, 96, 96, 3) for name in ("scene", "wrist")
    }
    batch = shipped.imagine(observation(batch=(2,)), np.stack([chunk, chunk]), steps=(8, 16))
    assert batch["observation.images.wrist"].shape == (2, 2, 96, 96, 3)
    with pytest.raises(ValueError, match="actions of 17 control steps: expected 1 to 16"):
        shipped.imagine(observation(), np.zeros((17, 4), np.float32))


def test_data_are_a_torch_dataset_of_clips(tmp_path: Path) -> None:
    small_store(tmp_path / "data")
    clips = worldmodel.open_data(tmp_path / "data", chunk_size=8, future=(4, 8))
    assert isinstance(clips, torch.utils.data.Dataset) and clips.tasks
    clip, last = clips[0], clips[-1]
    assert (
        clip["action"].shape[0] == 8 and clip["action.valid"].dtype == torch.bool and not last["action.valid"][1:].any()
    )
    camera = next(key for key in clip if key.startswith("observation.images."))
    assert clip[camera].dtype == torch.uint8 and clip[camera].ndim == 3
    assert clip[camera.replace("observation", "future")].shape[0] == 2 and clip["future.valid"].shape == (2,)
    with pytest.raises(IndexError):
        clips[len(clips)]
    batch = next(iter(DataLoader(clips, batch_size=4, shuffle=True)))
    assert batch["action"].shape[:2] == (4, 8)


def test_collect_train_load_evaluate_in_one_script_without_a_guard(tmp_path: Path) -> None:
    code = (
        "import worldmodel\n"
        "data = worldmodel.collect(task='lift_can', episodes=2, size=32, workers=1, out='data')\n"
        f"run = worldmodel.train(data=data, out='run', experiment='action_only', patch=16, **{NANO!r})\n"
        "policy = worldmodel.load(run, task='lift_can')\n"
        "report = worldmodel.evaluate(policy, episodes=1, workers=1, batch=1)\n"
        "print(report['task'], report['episodes'], report['checkpoint'])\n"
    )
    assert run(code, tmp_path, stdin=True).splitlines()[-1] == "lift_can 1 run"


class Still:
    """Only acts, one step at a time: holds the gripper where it is."""

    def act(self, observations: dict[str, np.ndarray]) -> np.ndarray:
        position = observations["observation.state"][:, :3]
        return np.concatenate([position, -np.ones((len(position), 1))], axis=1)


def test_whatever_acts_is_evaluated(tmp_path: Path) -> None:
    report = worldmodel.evaluate(Still(), "lift_can", out=tmp_path / "r", episodes=1, videos=0, workers=1, batch=2)
    assert (report["successes"], report["episodes"], report["checkpoint"]) == (0, 1, "Still")
    assert (tmp_path / "r" / "index.html").is_file()
    with pytest.raises(UserError, match="int has no method act"):
        worldmodel.evaluate(3)
    with pytest.raises(UserError, match="`evaluate` has no option 'episode'; did you mean 'episodes'"):
        worldmodel.evaluate(Still(), "lift_can", episode=1)
    with pytest.raises(UserError, match="device: belongs to a policy's name"):
        worldmodel.evaluate(Still(), device="cpu")
    with pytest.raises(UserError, match="choose another out="):
        worldmodel.evaluate(Still(), "lift_can", out=tmp_path / "r", episodes=1, videos=0, workers=1, batch=2)
