"""A modality is one file and one line: this one is complete, and nothing outside this file knows of it."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from worldmodel import checkpoint
from worldmodel.backbone import BackboneConfig
from worldmodel.data import EpisodeStore
from worldmodel.flow import MODES
from worldmodel.model import Want
from worldmodel.policies import ModelPolicy
from worldmodel.schema import ACTION, STATE, Episode, image_key
from worldmodel.tokens import listed
from worldmodel.tokens.signal import SignalConfig
from worldmodel.train import TrainConfig, train
from worldmodel.train.config import LogConfig, ModesConfig, ValidationConfig
from worldmodel.train.state import saved

KEY = "observation.temperature"


@dataclass(frozen=True)
class TemperatureConfig(SignalConfig):
    """Three thermometers on the gripper, degrees Celsius."""

    key: ClassVar[str] = KEY
    row: ClassVar[tuple[int, ...]] = (3,)
    in_data: ClassVar[str] = "has no temperature; tape thermometers to the gripper and collect it again"

    steps: int = 4
    scale: float = 1.0


@pytest.fixture(autouse=True)
def listing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line."""
    monkeypatch.setitem(listed.LISTED, "temperature", f"{__name__}:TemperatureConfig")


def record(path: Path, warm: bool = True) -> str:
    rng, writer = np.random.default_rng(2), EpisodeStore.create(path, {"licence": "Apache-2.0"})
    for seed, length in enumerate((24, 20)):
        frames = rng.integers(0, 256, (length, 32, 32, 3), np.uint8)
        state = rng.normal(size=(length, 4)).astype(np.float32)
        arrays = {image_key("scene"): frames, STATE: state, ACTION: state + np.float32(0.1)}
        if warm:
            arrays[KEY] = (20 + np.arange(length)[:, None] + rng.random((length, 3))).astype(np.float32)
        writer.append(Episode(arrays, "place_can", seed, True))
    writer.seal()
    return str(path)


def recipe(tmp_path: Path, mode: str, **changes: object) -> TrainConfig:
    config = TrainConfig(
        data=str(tmp_path / "data"),
        out=str(tmp_path / mode),
        steps=2,
        batch=8,
        holdout=0.5,
        save_every=1,
        compile=False,
        device="cpu",
        modalities={"temperature": {"steps": 3, "weight": 0.5, "noise": {"mean": 0.3}}},
        backbone=BackboneConfig(width=32, depth=2, heads=2),
        modes=replace(ModesConfig(*[0] * 5, rollout=1), **{"rollout": 0, mode: 1}),
        log=LogConfig(every=1),
        validation=ValidationConfig(every=0),
    )
    return replace(config, **changes)  # type: ignore[arg-type]


def losses(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("mode", MODES)
def test_it_trains_and_resumes_exactly_in_every_mode(mode: str, tmp_path: Path) -> None:
    record(tmp_path / "data")
    short = recipe(tmp_path, mode)
    train(replace(short, steps=4, out=str(tmp_path / "whole")))
    whole = load_file(saved(tmp_path / "whole/states")[-1] / "state.safetensors")
    assert any(name.startswith("model.temperature.") for name in whole)
    (tmp_path / mode / "states").mkdir(parents=True)
    halfway = saved(tmp_path / "whole/states")[-2]
    assert halfway.name.endswith("3"), "the last two are kept"
    halfway.rename(tmp_path / mode / "states" / halfway.name)
    train(replace(short, steps=4))
    again = load_file(saved(tmp_path / mode / "states")[-1] / "state.safetensors")
    assert all(torch.equal(value, again[name]) for name, value in whole.items())
    rows = losses(tmp_path / "whole")
    wanted = MODES[mode].frames == "wanted"
    assert any(f"{mode}/temperature" in row for row in rows) == wanted
    assert any("held_out/temperature" in row for row in rows) == (mode == "forward")


def test_two_steps_two_more_and_a_prediction(tmp_path: Path) -> None:
    record(tmp_path / "data")
    train(recipe(tmp_path, "joint"))
    train(recipe(tmp_path, "joint", steps=4))
    assert losses(tmp_path / "joint")[-1]["step"] == 4
    model = checkpoint.load(tmp_path / "joint")
    assert model.config.modalities["temperature"] == {
        "steps": 3,
        "weight": 0.5,
        "noise": {"mean": 0.3, "std": 1.0, "p_high": 0.05, "p_max": 0.0, "masked": 0.0, "prefix": 0},
        "scale": 1.0,
    }
    signal = model.further["temperature"]
    assert 19 < signal.scaling.low.min() < 23 and 38 < signal.scaling.high.max() < 46, "ranges are in degrees"
    policy = ModelPolicy(model)
    assert policy.history == {KEY: 3}
    rng = np.random.default_rng(0)
    frames = {image_key("scene"): rng.integers(0, 256, (2, 32, 32, 3), np.uint8)}
    seen = {**frames, STATE: np.zeros((2, 4), np.float32), KEY: np.full((2, 3, 3), 25, np.float32)}
    chunk = policy.act(seen)
    assert chunk.shape == (2, 16, 4) and np.isfinite(chunk).all()
    found = model.predict(policy._given(seen), Want(at=torch.tensor([[2, 5]] * 2))).more["temperature"]
    degrees = signal.decode(found)
    assert degrees.shape == (2, 16, 3) and degrees.isfinite().all()
    with pytest.raises(ValueError, match=f"this model needs '{KEY}'"):
        policy.act({key: value for key, value in seen.items() if key != KEY})
    with pytest.raises(ValueError, match=r"has shape \(2, 3\) per observation, expected \(3, 3\)"):
        policy.act({**seen, KEY: seen[KEY][:, :2]})


def test_a_recording_without_it_says_so(tmp_path: Path) -> None:
    record(tmp_path / "data", warm=False)
    with pytest.raises(ValueError, match="has no temperature; tape thermometers"):
        train(recipe(tmp_path, "joint"))
    with pytest.raises(ValueError, match=r"modalities\.smell: no such modality; expected audio, temperature"):
        train(recipe(tmp_path, "joint", modalities={"smell": True}))
