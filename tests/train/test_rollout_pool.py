"""Rollouts that go on while their model learns: what they remember is true, and resuming is exact."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small import small_run

from worldmodel import checkpoint
from worldmodel.backbone import BackboneConfig
from worldmodel.data.clips import Clips
from worldmodel.data.on_device import ClipsOnDevice
from worldmodel.model.rollout import ImaginedRollout
from worldmodel.train import TrainConfig, train
from worldmodel.train.config import ModesConfig, RolloutConfig
from worldmodel.train.pool import RolloutPool
from worldmodel.train.setup import Run, prepare
from worldmodel.train.state import saved
from worldmodel.train.step import losses


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    return small_run(
        tmp_path,
        batch=8,
        backbone=BackboneConfig(width=32, depth=1, heads=2, deep=1),
        modes=ModesConfig(0.3, 0, 0, 0, 0, 0.7),
        rollout=RolloutConfig(memory=(1, 3), longest=6, grow=1),
    )


def pool_of(run: Run) -> RolloutPool:
    """A run's pool, with the loss as it is."""
    return RolloutPool(losses(run.learner.model, run.learner.ema, run.config)[1], run.batches)


@pytest.mark.parametrize("on_device", [False, True])
def test_two_steps_then_two_more_equal_four(config: TrainConfig, tmp_path: Path, on_device: bool) -> None:
    config = replace(config, cache_on_device=on_device)
    assert {mode for mode, _, _ in map(prepare(config).batches.draw, range(4))} == {"policy", "rollout"}
    train(config)
    whole = load_file(saved(Path(config.out) / "states")[-1] / "state.safetensors")
    assert whole["rollouts.own"].any(), "some rollout has gone on from its own frames"
    rest = replace(config, out=str(tmp_path / "killed"))
    (tmp_path / "killed" / "states").mkdir(parents=True)
    first = saved(Path(config.out) / "states")[0]
    first.rename(tmp_path / "killed" / "states" / first.name)
    train(rest)
    resumed = load_file(saved(Path(rest.out) / "states")[-1] / "state.safetensors")
    assert whole.keys() == resumed.keys() and all(torch.equal(value, resumed[name]) for name, value in whole.items())
    model = checkpoint.load(config.out)
    assert model.config.memory == (1, 3) and ImaginedRollout(model).keep == 4


@torch.no_grad()
def test_a_rollout_observes_what_was_recorded_and_then_sees_what_it_imagined(config: TrainConfig) -> None:
    run = prepare(replace(config, rollout=RolloutConfig(memory=(1, 3), p_real=0.4, longest=6, grow=1)))
    pool, clips, generator = pool_of(run), run.batches.clips, torch.Generator().manual_seed(0)
    codec, only = run.learner.model.frames, 2  # of 4 rows: 0.4, rounded up
    remembered, observed, imagined = [], 0, 0
    for _ in range(12):
        step = pool.next(torch.as_tensor(clips.order(0, pool.rows, 0)), generator)
        frames, state, actions = clips.rows(pool.now)
        real = pool.own == 0
        assert real[:only].all() and torch.equal(codec.decode(step.last[real]), frames[real])
        assert torch.equal(step.present.state[real, 0], state[real])
        assert torch.equal(step.present.actions[:, 0], actions)
        assert (codec.decode(step.last[~real]) == 7).all() and (step.present.levels[~real] > 0).all()
        assert torch.equal(codec.decode(step.frames), clips.rows(pool.now + 1)[0])
        assert (step.present.levels[real] == 0).all()
        for row, known in enumerate(pool.known.tolist()):
            for column, age in enumerate((1, 3)):
                valid = step.valid[row].unflatten(0, (2, -1))[column]
                assert bool(valid.all()) == bool(valid.any()) == (known >= age)
                if known >= age:
                    key = step.cache[0][0][row].unflatten(1, (2, -1))[:, column]
                    assert torch.equal(key, remembered[-age][0, row])
        keys = torch.randn(4, pool.rows, 2, pool.tokens, 16).bfloat16()
        remembered.append(keys)
        observed, imagined = observed + int(real.sum()), imagined + int((~real).sum())
        pool.go_on(codec.encode(torch.full_like(pool.frames, 7)), step.state, keys)
    assert observed > 12 * only and imagined


def test_windows_on_the_device_are_gathered_as_from_the_store(config: TrainConfig) -> None:
    run = prepare(config)
    clips = run.batches.clips
    assert isinstance(clips, Clips)
    there, windows = ClipsOnDevice(clips, torch.device("cpu")), np.arange(len(clips))[::-1].copy()
    at = np.tile([1, 3], (len(windows), 1))
    for done in (False, True):
        ours = there.gather(windows, at, states=True, done=done)
        theirs = clips.gather(windows, at, states=True, done=done).map(torch.as_tensor)
        for name in (
            "images",
            "state",
            "task",
            "action",
            "executed",
            "valid",
            "future",
            "at",
            "future_valid",
            "windows",
        ):
            assert torch.equal(getattr(ours, name), getattr(theirs, name)), name
        assert all(torch.equal(ours.more_future[key], value) for key, value in theirs.more_future.items())
    some = torch.as_tensor(windows)
    for mine, other in zip(there.bounds(some) + there.rows(some), clips.bounds(some) + clips.rows(some), strict=True):
        assert torch.equal(mine, other)


def test_a_memory_that_does_not_ascend_from_now_is_refused() -> None:
    for memory in ((0, 1), (1, 3, 2)):
        with pytest.raises(ValueError, match="ascending order, from 1"):
            RolloutConfig(memory=memory)


def test_what_the_device_cannot_hold_is_refused_with_the_option_to_use(config: TrainConfig) -> None:
    clips = prepare(config).batches.clips
    assert isinstance(clips, Clips)
    clips.spec = replace(clips.spec, cameras=())
    with pytest.raises(ValueError, match=r"cache_on_device=true: .* use cache_in_memory=true"):
        ClipsOnDevice(clips, torch.device("cpu"))
