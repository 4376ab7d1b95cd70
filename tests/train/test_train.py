"""Training: the real entry point runs, resumes exactly, and says what is wrong."""

import json
import os
import signal
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from small import small_clip, small_run, small_store

from worldmodel import checkpoint, legacy
from worldmodel.backbone import BackboneConfig
from worldmodel.objectives import OBJECTIVES, ObjectiveConfig, RolloutConfig
from worldmodel.settings import load
from worldmodel.train import TrainConfig, loop, setup, train
from worldmodel.train.config import AugmentConfig, LogConfig, ModesConfig, OptimiserConfig
from worldmodel.train.optimiser import Optimiser, average
from worldmodel.train.state import saved
from worldmodel.train.step_rng import augment


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    return small_run(tmp_path, modes=ModesConfig(policy=0.4, joint=0.3, forward=0.3, inverse=0, video=0))


def last(config: TrainConfig) -> dict[str, torch.Tensor]:
    return load_file(saved(Path(config.out) / "states")[-1] / "state.safetensors")


@pytest.mark.parametrize("kind", [kind for kind in OBJECTIVES if not OBJECTIVES[kind].external])
def test_two_steps_then_two_more_equal_four(config: TrainConfig, tmp_path: Path, kind: str) -> None:
    config = replace(config, objective=ObjectiveConfig(name=kind))
    train(config)
    whole, states = last(config), saved(Path(config.out) / "states")
    assert [state.name for state in states] == ["00000002", "00000004"]
    # What a killed run leaves: the state of step 2, and half a folder of the next one.
    killed = replace(config, out=str(tmp_path / "killed"))
    (tmp_path / "killed" / "states").mkdir(parents=True)
    states[0].rename(tmp_path / "killed" / "states" / states[0].name)
    (tmp_path / "killed" / "states" / ".00000004.123").mkdir()
    (tmp_path / "killed" / "metrics.jsonl").write_text('{"step": 1, "seconds": 1.0}\n{"step": 3}\n{"ste')
    train(killed)
    resumed = last(killed)
    assert whole.keys() == resumed.keys() and any("momentum" in name or "exp_avg" in name for name in whole)
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name
    steps = [json.loads(line)["step"] for line in (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps) and steps[:3] == [1, 3, 4]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_trains_every_mode_and_resumes(config: TrainConfig) -> None:
    every = replace(config, modes=ModesConfig(*[1] * 6), device="cuda", steps=8)
    train(replace(every, steps=4))
    train(every)
    assert checkpoint.load(config.out) is not None


def test_batches_made_ahead_change_nothing(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(config)
    monkeypatch.setattr(loop, "ahead_of", lambda device: 3)
    ahead = replace(config, out=str(tmp_path / "ahead"))
    train(ahead)
    assert all(torch.equal(value, last(ahead)[name]) for name, value in last(config).items())


def test_a_regression_is_known_to_its_checkpoint(config: TrainConfig) -> None:
    train(replace(config, objective=ObjectiveConfig(name="mip"), modes=ModesConfig(1, 0, 0, 0, 0)))
    assert checkpoint.load(config.out).config.sampler == "mip"


def test_a_run_begins_from_other_weights(config: TrainConfig, tmp_path: Path) -> None:
    train(replace(config, steps=2))
    fresh = replace(config, init=config.out, out=str(tmp_path / "next"), modes=ModesConfig(0.5, 0, 0, 0, 0, 0.5))
    learner = setup.prepare(fresh).learner
    before, after = checkpoint.load(config.out).state_dict(), learner.model.state_dict()
    parameters = dict(checkpoint.load(config.out).named_parameters())
    assert all(torch.equal(before[name], after[name]) for name in parameters) and learner.model.body is not None
    assert all(torch.equal(after[name], value) for name, value in learner.ema.state_dict().items())
    train(replace(fresh, steps=2))
    assert checkpoint.card(fresh.out)["provenance"]["init"]["sha256"] == checkpoint.card(config.out)["sha256"]
    with pytest.raises(checkpoint.CheckpointError, match=r"a model of another shape .*see model="):
        setup.prepare(replace(fresh, backbone=BackboneConfig(width=64, depth=2, heads=2), out=str(tmp_path / "wide")))


def test_policies_learn_from_demonstrations_alone(config: TrainConfig, tmp_path: Path) -> None:
    mixed = small_store(tmp_path / "mixed", (20, 20, 20, 20), behaviours=("play", "expert", "random", "expert"))
    asked = replace(config, data=str(mixed.path), batch=8, holdout=0.0, modes=ModesConfig(0.4, 0.2, 0.2, 0.2, 0))
    batches = setup.prepare(asked).batches
    seen: dict[str, set[int]] = {}
    for mode, clip, _ in map(batches.draw, range(60)):
        seen.setdefault(mode, set()).update(int(count) // 20 for count in clip.state[:, 0])
    assert seen["policy"] == seen["joint"] == {1, 3} and seen["forward"] == seen["inverse"] == {0, 1, 2, 3}
    play = small_store(tmp_path / "play", behaviours=("play", "random"))
    with pytest.raises(ValueError, match=r"holds no demonstrations, only play, random.*modes\.policy=0"):
        train(replace(asked, data=str(play.path)))
    train(replace(asked, data=str(play.path), modes=ModesConfig(0, 0, 1, 0, 0), steps=1))


def test_inverse_dynamics_learns_from_the_next_frames_and_is_asked_no_more_than_they_tell(config: TrainConfig) -> None:
    asked = replace(config, batch=16, holdout=0.0, modes=ModesConfig(0, 0, 0.5, 0.5, 0))
    drawn = list(map(setup.prepare(asked).batches.draw, range(12)))
    asked_beyond = set()
    for mode, clip, _ in drawn:
        assert clip.at is not None and (clip.at[:, 1:] > clip.at[:, :-1]).all() and clip.valid.any(-1).all()
        beyond = torch.arange(clip.valid.shape[1]) >= clip.at[:, -1:]
        asked_beyond |= {mode} if (clip.valid & beyond).any() else set()
    assert asked_beyond == {"forward"}
    every = {mode: [clip.at for kind, clip, _ in drawn if kind == mode] for mode in ("forward", "inverse")}
    assert all((at[:7] == torch.tensor([1, 2])).all() and at[7::8].max() > 2 for at in every["inverse"])
    assert not any((at[:7] == torch.tensor([1, 2])).all() for at in every["forward"])


def test_few_demonstrations_are_the_first_ones(config: TrainConfig) -> None:
    train(replace(config, holdout=0, demonstrations=1, steps=2))
    with pytest.raises(ValueError, match="has 2 episodes to train on, expected 3 or more"):
        train(replace(config, holdout=0, demonstrations=3, out=config.out + "3"))


def test_ctrl_c_finishes_the_step_and_saves(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []

    def interrupted(*arguments: object) -> None:
        steps.append(average(*arguments))  # type: ignore[arg-type, func-returns-value]
        if len(steps) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(loop, "average", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(replace(config, save_every=100))
    assert [state.name for state in saved(Path(config.out) / "states")] == ["00000003"]
    stopped, undisturbed = config.out, replace(config, out=config.out + "2", save_every=3)
    train(undisturbed)
    cut = load_file(saved(Path(stopped) / "states")[0] / "state.safetensors")
    whole = load_file(saved(Path(undisturbed.out) / "states")[0] / "state.safetensors")
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())


def test_a_run_leaves_a_model_a_log_and_pictures(config: TrainConfig) -> None:
    train(config)
    out = Path(config.out)
    assert {"first_batch.png", "metrics.png", "metrics.jsonl", "model", "states"} <= {p.name for p in out.iterdir()}
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert any("held_out/policy" in row for row in rows) and any("held_out/forward" in row for row in rows)
    model, card = checkpoint.load(out), checkpoint.card(out)["provenance"]
    assert model.config.size == 32 and model.config.cameras == ("scene", "wrist")
    assert card["steps"] == 4 and card["data"][0]["provenance"]["licence"] == "Apache-2.0" and card["seconds"] > 0
    assert model.actions.scaling.binary[:, 3].any(), "ranges were fitted to the data"


def test_a_run_keeps_its_options(config: TrainConfig) -> None:
    train(replace(config, steps=1))
    kept = yaml.safe_load((Path(config.out) / "config.yaml").read_text())
    assert kept["backbone"]["width"] == 32 and kept["tasks"] == list(config.tasks) and kept["steps"] == 1
    assert kept.keys() == asdict(config).keys()


def test_a_run_is_not_silently_turned_into_another(config: TrainConfig) -> None:
    train(replace(config, steps=2))
    with pytest.raises(ValueError, match="was trained with seed=0, not 5; use another out="):
        train(replace(config, seed=5))
    train(replace(config, steps=3))
    assert saved(Path(config.out) / "states")[-1].name == "00000003", "but it may be prolonged"


def test_a_second_run_into_the_same_folder_is_refused(config: TrainConfig) -> None:
    first = setup.prepare(config)
    with pytest.raises(ValueError, match=r"out=.*run: is being written by another process; wait for it or choose"):
        setup.prepare(replace(config, seed=1))
    first.lock.close()
    train(config)
    with pytest.raises(ValueError, match="was trained with seed=0, not 1"):
        train(replace(config, seed=1))


def test_it_learns(config: TrainConfig) -> None:
    policy = ModesConfig(policy=1, joint=0, forward=0, inverse=0, video=0)
    optimiser = OptimiserConfig(warmup=5)
    train(replace(config, steps=60, batch=16, modes=policy, optimiser=optimiser, log=LogConfig(every=10)))
    rows = [json.loads(line) for line in (Path(config.out) / "metrics.jsonl").read_text().splitlines()]
    losses = [row["policy/actions"] for row in rows if "policy/actions" in row]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("steps=0", "steps=0: expected 1 to 1000000000"),
        ("device=tpu", "device='tpu': expected auto, cpu or cuda"),
        ("log.tracker=mlflow", "log.tracker='mlflow'"),
        ("optimiser.kind=sgd", "optimiser.kind='sgd': expected muon or adamw"),
        ("modes.policy=-1", "expected shares of at least 0"),
    ],
)
def test_bad_values_are_named(override: str, message: str) -> None:
    with pytest.raises(Exception, match=message.replace("(", r"\(")):
        load("train", TrainConfig, ["data=x", "out=y", override])


def test_sizes_differ_in_three_numbers_at_most() -> None:
    configs = [load("train", TrainConfig, ["data=x", "out=y", f"model={size}"]) for size in ("tiny", "small", "base")]
    assert len({replace(config, backbone=BackboneConfig()) for config in configs}) == 1
    assert len({config.backbone for config in configs}) == 3


def test_one_augmentation_for_all_frames_of_a_clip() -> None:
    clip = small_clip(batch=3)
    same = replace(clip, future=clip.images[:, None].repeat(1, 2, 1, 1, 1, 1))
    out = augment(same, AugmentConfig(shift=3), torch.Generator().manual_seed(0))
    assert out.pixels.dtype == torch.float32 and out.pixels.abs().max() <= 1
    assert torch.equal(out.future_pixels[:, 0], out.pixels) and torch.equal(out.future_pixels[:, 1], out.pixels)
    plain = augment(same, AugmentConfig(0, 0, 0, 0), torch.Generator().manual_seed(0))
    torch.testing.assert_close(plain.pixels, clip.images.float() / 127.5 - 1)


def test_the_schedule_warms_up_rests_and_decays() -> None:
    optimiser = Optimiser(torch.nn.Linear(2, 2), OptimiserConfig(kind="adamw", warmup=10, decay=0.5), steps=100)
    found = [optimiser.lr_scale(step) for step in (0, 4, 9, 49, 75, 100)]
    assert found == pytest.approx([0.1, 0.5, 1.0, 1.0, 0.5, 0.0])


def test_the_average_has_a_memory_relative_to_the_run() -> None:
    model, ema = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(1.0)
    ema.weight.data.fill_(5.0)
    average(ema, model, step=0, width=0.05)
    assert ema.weight.item() == 1.0, "the first step forgets the start"
    model.weight.data.fill_(2.0)
    average(ema, model, step=999, width=0.05)
    assert ema.weight.item() == pytest.approx(1 + 1 - (1 - 1 / 1000) ** 21)


def test_a_run_that_learned_to_continue_committed_actions_says_so(config: TrainConfig) -> None:
    actions = replace(config.noise.actions, prefix=3)
    train(replace(config, steps=2, noise=replace(config.noise, actions=actions)))
    assert checkpoint.load(config.out).config.prefix == 3
    with pytest.raises(ValueError, match=r"trained with noise\.actions\.prefix=3, not 0; use another out="):
        train(replace(config, steps=2))


def test_a_resumed_run_is_compared_before_its_weights_are_read(config: TrainConfig) -> None:
    train(replace(config, steps=2))
    with pytest.raises(ValueError, match="trained with language=False, not True"):
        train(replace(config, steps=2, language=True))
    with pytest.raises(ValueError, match=r"trained with backbone\.width=32, not 64"):
        train(replace(config, steps=2, backbone=BackboneConfig(width=64, depth=2, heads=2)))


def test_old_names_of_keys_keep_working() -> None:
    old = (
        "objective.kind=dual objective.plain=2 optimiser.rate=0.1 optimiser.muon_rate=0.2 modes.stream=0.5 "
        "stream.own=0.3 stream.lead=2 stream.drift=0.1 stream.fade=0.2 stream.window=3 noise.stream.mean=0.6 "
        "noise.stream.pure=0.1 noise.frames.spread=2 noise.actions.high=0.2 resident=false"
    )
    new = (
        "objective.name=dual objective.l1=2 optimiser.lr=0.1 optimiser.muon_lr=0.2 modes.rollout=0.5 "
        "rollout.p_self=0.3 rollout.burn_in=2 rollout.history_bias=0.1 rollout.history_mixup=0.2 rollout.window=3 "
        "noise.rollout.mean=0.6 noise.rollout.p_max=0.1 noise.frames.std=2 noise.actions.p_high=0.2 "
        "cache_in_memory=false"
    )
    fixed = ["data=x", "out=y"]
    found = [load("train", TrainConfig, fixed + words.split()) for words in (old, new)]
    assert found[0] == found[1] and found[0].rollout == RolloutConfig(3, 0.2, 0.3, 2, 0.1, 0.2)
    model = {"horizon": 8, "rate": 10.0, "modalities": {"audio": {"noise": {"spread": 1.0}}}}
    today = {"chunk_size": 8, "control_hz": 10.0, "modalities": {"audio": {"noise": {"std": 1.0}}}}
    assert legacy.saved("model", model) == today
