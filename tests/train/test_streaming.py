"""Training in stream mode through the real entry point: it learns, resumes exactly, leaves other runs as they were."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small import small_run

from worldmodel import checkpoint
from worldmodel.data.clips import Clips, ClipSpec
from worldmodel.flow import MODES
from worldmodel.model.rollout import ImaginedRollout
from worldmodel.objectives import loss
from worldmodel.objectives.self_forcing import DRIFT, corrupt_history, history_and_targets
from worldmodel.schema import STATE
from worldmodel.settings import load
from worldmodel.tokens.timesteps import SELF_NOISE_LEVEL
from worldmodel.train import TrainConfig, train
from worldmodel.train.config import LogConfig, ModesConfig, OptimiserConfig, RolloutConfig
from worldmodel.train.setup import prepare
from worldmodel.train.state import saved


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    return small_run(tmp_path, batch=8, modes=ModesConfig(0.3, 0, 0, 0, 0, 0.7), rollout=RolloutConfig(window=3))


def test_two_steps_then_two_more_equal_four(config: TrainConfig, tmp_path: Path) -> None:
    drawn = [prepare(config).batches.draw(step) for step in range(4)]
    assert {mode for mode, _, _ in drawn} == {"policy", "rollout"}
    assert any("own.body" in noise for _, _, noise in drawn), "some step rehearses"
    train(config)
    whole = load_file(saved(Path(config.out) / "states")[-1] / "state.safetensors")
    rest = replace(config, out=str(tmp_path / "killed"))
    (tmp_path / "killed" / "states").mkdir(parents=True)
    first = saved(Path(config.out) / "states")[0]
    first.rename(tmp_path / "killed" / "states" / first.name)
    train(rest)
    resumed = load_file(saved(Path(rest.out) / "states")[-1] / "state.safetensors")
    assert whole.keys() == resumed.keys() and all(torch.equal(value, resumed[name]) for name, value in whole.items())
    rows = [json.loads(line) for line in (Path(config.out) / "metrics.jsonl").read_text().splitlines()]
    assert any("held_out/rollout_frames" in row for row in rows) and any("rollout/body" in row for row in rows)
    model = checkpoint.load(config.out)
    assert model.config.window == 3 and model.body is not None and ImaginedRollout(model).batch == 1
    assert model.body.scaling.low[0] == pytest.approx(0.0), "fitted to changes of the state, which are 1 here"
    with pytest.raises(ValueError, match=r"trained with rollout\.window=3, not 2"):
        train(replace(config, rollout=RolloutConfig(window=2)))


def test_own_rollouts_may_be_longer_than_the_window(config: TrainConfig) -> None:
    run = prepare(replace(config, rollout=RolloutConfig(window=3, p_self=1.0, burn_in=4)))
    model, drawn = run.learner.model, [run.batches.draw(step) for step in range(30)]
    streams = [(clip, noise) for mode, clip, noise in drawn if mode == "rollout"]
    own = {noise["own.body"].eps.shape[1] for _, noise in streams}
    assert own <= set(range(1, 7)) and max(own) > 3, "longer than the window remembers"
    for clip, noise in streams:
        assert clip.future.shape[1] == 7 and noise["frames"].levels.shape[1] == 3
        loss(model, clip, "rollout", noise, run.config.objective)["loss"].backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_moments_that_lead_there_are_not_asked_for(config: TrainConfig) -> None:
    run = prepare(replace(config, rollout=RolloutConfig(window=3, p_self=0.0, burn_in=4)))
    clip, noise = next((clip, noise) for mode, clip, noise in map(run.batches.draw, range(30)) if mode == "rollout")
    states = clip.more_future[STATE]
    states[:, :3] = 1e6  # of time steps before those looked back on: nothing is read of them
    first = loss(run.learner.model, clip, "rollout", noise, run.config.objective)["loss"]
    states[:, :3] = 0
    assert torch.equal(first, loss(run.learner.model, clip, "rollout", noise, run.config.objective)["loss"])


def test_it_learns_how_the_state_moves(config: TrainConfig) -> None:
    alone, optimiser = ModesConfig(0, 0, 0, 0, 0, 1), OptimiserConfig(warmup=5)
    train(replace(config, steps=40, batch=16, save_every=40, modes=alone, optimiser=optimiser, log=LogConfig(every=8)))
    rows = [json.loads(line) for line in (Path(config.out) / "metrics.jsonl").read_text().splitlines()]
    losses = [row["rollout/body"] for row in rows if "rollout/body" in row]
    assert np.mean(losses[-3:]) < 0.5 * losses[0]


def test_without_streams_nothing_is_drawn_or_built_otherwise(config: TrainConfig) -> None:
    run = prepare(replace(config, modes=ModesConfig()))
    assert run.learner.model.body is None and run.learner.model.config.window == 0
    shares = np.array([getattr(ModesConfig(), mode) for mode in MODES])
    for step in range(40):
        rng = np.random.default_rng([0, step])
        assert run.batches.draw(step)[0] == list(MODES)[rng.choice(5, p=shares / shares.sum())]


def test_clips_know_later_states_and_changes(config: TrainConfig) -> None:
    from worldmodel.data import EpisodeStore

    clips = Clips([EpisodeStore.open(config.data)], ClipSpec(("scene",), 16, ("place_can",)))
    clip = clips.gather(np.array([2, 19]), np.array([[1, 2], [1, 2]]), states=True)
    assert clip.more_future[STATE][0, :, 0].tolist() == [3.0, 4.0]
    assert clip.more_future[STATE][1, :, 0].tolist() == [19.0, 19.0] and not clip.future_valid[1].any()
    sample = clips.sample(1000, 0)
    changes = (sample.more_future[STATE][:, 0] - sample.state)[sample.future_valid[:, 0]]
    assert len(changes) == 31 and (changes[:, 0] == 1).all(), "none across an episode's end"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("rollout.history_bias=-1", "expected a standard deviation"),
        ("rollout.history_mixup=2", "rollout.history_mixup=2.0: expected a share"),
        ("rollout.shift=0", "rollout.shift=0.0: expected 0.1 to 10"),
        ("rollout.window=0", "rollout.window=0: expected 1 to 16"),
        ("rollout.noise=0.05", "rollout.noise=0.05: expected 0.1 to 1"),
        ("rollout.p_self=2", "expected a share"),
        ("rollout.burn_in=13", "rollout.burn_in=13: expected 0 to 12"),
    ],
)
def test_bad_values_are_named(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load("train", TrainConfig, ["data=x", "out=y", override])


def test_streams_learn_frames_as_they_are(config: TrainConfig) -> None:
    """Under a colour that changes from clip to clip any colour is right, and a long dream would drift through them."""
    run = prepare(config)
    for mode, clip, _ in map(run.batches.draw, range(12)):
        bytes_again = (clip.pixels + 1) * 127.5
        whole = (bytes_again - bytes_again.round()).abs().max() < 1e-3
        assert whole == (mode == "rollout")


def test_smooth_errors_are_looked_back_on_and_not_asked_for(config: TrainConfig) -> None:
    run = prepare(replace(config, rollout=RolloutConfig(window=3, p_self=0.0, history_bias=0.4)))
    model = run.learner.model
    streams = [(clip, noise[DRIFT]) for mode, clip, noise in map(run.batches.draw, range(30)) if mode == "rollout"]
    share = torch.cat([draw.levels[:, 0] > 0 for _, draw in streams]).float().mean()
    assert 0.25 < share < 0.75 and max(draw.levels.max() for _, draw in streams) <= 0.4, "every other clip"
    clip, draw = next(each for each in streams if (each[1].levels > 0.1).sum() == (each[1].levels > 0).sum() == 1)
    off = draw.levels[:, 0] > 0
    history, truth, _ = history_and_targets(model, clip)
    astray = corrupt_history(model, history, draw)
    assert torch.equal(astray.frames[~off], history.frames[~off]) and torch.equal(
        astray.levels[~off], history.levels[~off]
    )
    assert (astray.levels[off] == SELF_NOISE_LEVEL).all() and torch.equal(history_and_targets(model, clip)[1], truth)
    error = model.frames.assemble((astray.frames - history.frames)[:, :1].flatten(1, 2), 1)[off]
    inside = model.frames.assemble(astray.frames[:, :1].flatten(1, 2), 1)[off].abs() < 1
    assert error[inside].std() > 0.01
    rough = (error.diff(dim=-2).abs() * (inside[..., 1:, :] & inside[..., :-1, :])).mean()
    assert rough < 0.25 * error[inside].abs().mean(), "neighbouring pixels are off alike"


def test_faded_frames_are_looked_back_on_and_not_asked_for(config: TrainConfig) -> None:
    run = prepare(replace(config, rollout=RolloutConfig(window=3, p_self=0.0, history_mixup=0.8)))
    model = run.learner.model
    streams = [(clip, noise[DRIFT]) for mode, clip, noise in map(run.batches.draw, range(30)) if mode == "rollout"]
    levels = torch.cat([draw.levels for _, draw in streams])
    assert not levels[:, 0].any() and 0.25 < (levels[:, 1] > 0).float().mean() < 0.75 and 0.4 < levels.max() <= 0.8
    clip, draw = next(each for each in streams if (each[1].levels > 0).sum() == 1)
    faint = draw.levels[:, 1] > 0
    history, truth, _ = history_and_targets(model, clip)
    faded, share = corrupt_history(model, history, draw), draw.levels[faint, 1]
    mixed = (1 - share) * history.frames[faint] + share * history.frames[~faint]  # a batch of two
    torch.testing.assert_close(faded.frames[faint], mixed)
    assert torch.equal(faded.frames[~faint], history.frames[~faint])
    assert (faded.levels[faint] == SELF_NOISE_LEVEL).all() and (faded.levels[~faint] == 0).all()
    assert torch.equal(history_and_targets(model, clip)[1], truth)
