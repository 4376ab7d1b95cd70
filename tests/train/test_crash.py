"""A run that is killed at any point of a save goes on to the same weights, and never reports an old model."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small import small_run

from worldmodel import checkpoint
from worldmodel.backbone import BackboneConfig
from worldmodel.files import recover
from worldmodel.train import TrainConfig, train
from worldmodel.train.config import ModesConfig, OptimiserConfig
from worldmodel.train.state import saved


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    shape, modes = BackboneConfig(width=32, depth=1, heads=2), ModesConfig(1, 0, 0, 0, 0)
    return small_run(tmp_path, holdout=0, backbone=shape, modes=modes)


def weights(run: Path) -> bytes:
    return (run / "model" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("left", ["none", "old", "stale", "damaged"])
def test_a_death_between_state_and_export_is_mended(config: TrainConfig, left: str) -> None:
    """The state of the last step is saved; the model is missing, under its old name, of an earlier step, or flipped."""
    train(replace(config, keep=True))
    run = Path(config.out)
    whole, earlier = weights(run), run / "models" / "00000002"
    if left == "damaged":
        file = run / "model" / "model.safetensors"
        file.write_bytes(file.read_bytes()[:-1] + b"\x77")
    else:
        shutil.rmtree(run / "model")
    if left == "old":
        shutil.copytree(earlier, run / ".model.old")
        assert checkpoint.card(run)["provenance"]["steps"] == 2  # it can still be evaluated
    if left == "stale":
        shutil.copytree(earlier, run / "model")
    for stale in (run / ".model.123", run / "states" / ".00000004.77"):
        stale.mkdir()
    train(replace(config, keep=True))
    assert weights(run) == whole and checkpoint.card(run)["provenance"]["steps"] == 4
    assert [path.name for path in (*run.glob(".*"), *(run / "states").glob(".*"))] == [".lock"]


def test_a_folder_that_was_about_to_be_replaced_comes_back(tmp_path: Path) -> None:
    (tmp_path / ".model.old").mkdir()
    (tmp_path / ".model.9").mkdir()
    (tmp_path / ".hidden").mkdir()
    recover(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "model"]


def test_what_is_no_number_is_never_saved(config: TrainConfig) -> None:
    """Even where the log, which notices it too, is written less often than states are."""
    wild = OptimiserConfig(warmup=0, lr=1e30, muon_lr=1e30)
    with pytest.raises(ValueError, match=r"training diverged, and is not saved; lower optimiser.lr"):
        train(replace(config, steps=8, save_every=1, log=replace(config.log, every=8), optimiser=wild))
    for state in saved(Path(config.out) / "states"):
        tensors, _ = checkpoint.read_folder(state, "state.safetensors", "state.json")
        assert checkpoint.not_finite(tensors) is None


def test_a_flip_in_the_record_of_a_state_is_found(config: TrainConfig) -> None:
    train(replace(config, steps=2))
    file = saved(Path(config.out) / "states")[-1] / "state.json"
    file.write_text(file.read_text().replace('"step": 2', '"step": 3'))
    with pytest.raises(checkpoint.CheckpointError, match=r"state\.json is damaged"):
        train(config)


def test_weights_that_are_no_numbers_are_not_loaded(config: TrainConfig) -> None:
    train(replace(config, steps=2))
    folder = Path(config.out) / "model"
    tensors, card = checkpoint.read_folder(folder, checkpoint.WEIGHTS, checkpoint.CARD)
    name = next(iter(tensors))
    tensors[name] = torch.full_like(tensors[name], float("nan"))
    checkpoint.write_folder(folder, tensors, card, checkpoint.WEIGHTS, checkpoint.CARD)
    with pytest.raises(checkpoint.CheckpointError, match="is not finite"):
        checkpoint.load(folder)
