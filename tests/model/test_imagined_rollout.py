"""Streams: cached is as if computed anew, nothing is seen before it happens, and memory stays as it is."""

from dataclasses import replace

import jaxtyping
import numpy as np
import psutil
import pytest
import torch
from small import CONFIG, dreaming_model, small_model

from worldmodel.flow.noise import NoiseSample
from worldmodel.flow.sampler import grid
from worldmodel.model import WorldModel
from worldmodel.model.rollout import ImaginedRollout
from worldmodel.objectives import ObjectiveConfig, loss
from worldmodel.objectives.rollout_noise import rollout_noise
from worldmodel.objectives.self_forcing import denoise_steps, history_and_targets, self_force
from worldmodel.schema import STATE, Clip
from worldmodel.tokens.timesteps import SELF_NOISE_LEVEL
from worldmodel.train import TrainConfig
from worldmodel.train.config import RolloutConfig


def long_clip(times: int = 9, batch: int = 2) -> Clip:
    """A clip of ``times`` time steps after the first, one step apart, of things that never repeat."""
    generator = torch.Generator().manual_seed(times)
    pixels = torch.randint(0, 256, (batch, times + 1, 2, 32, 32, 3), dtype=torch.uint8, generator=generator)
    state = torch.rand(batch, times + 1, 4, generator=generator)
    actions = state[:, :, :4] + torch.rand(batch, times + 1, 4, generator=generator) / 5
    return Clip(
        images=pixels[:, 0],
        state=state[:, 0],
        task=torch.zeros(batch, dtype=torch.int64),
        action=actions,
        executed=actions,
        valid=torch.ones(batch, times + 1, dtype=torch.bool),
        future=pixels[:, 1:],
        at=torch.arange(1, times + 1).repeat(batch, 1),
        future_valid=torch.ones(batch, times, dtype=torch.bool),
        more_future={STATE: state[:, 1:]},
    )


def start_noise(seeds: list[int], steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The noise that a stream with these seeds begins its first frames from: body (B, T, 4), frames (B, T * M, P)."""
    bodies, frames = [], []
    for seed in seeds:
        generator, body, frame = torch.Generator().manual_seed(seed), [], []
        for _ in range(steps):
            body.append(torch.randn(1, 4, generator=generator))
            frame.append(torch.randn(8, 768, generator=generator))
        bodies.append(torch.cat(body))
        frames.append(torch.cat(frame))
    return torch.stack(bodies), torch.stack(frames)


def uncached(model: WorldModel, clip: Clip, seeds: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """What is predicted after every time step of a clip in one sampling step, the whole history read at once."""
    history, _, _ = history_and_targets(model, clip)
    times = len(history.when)
    body, frames = start_noise(seeds, times)
    levels = torch.ones(len(body), times)
    found = denoise_steps(model, history, history.frames, {"body": body, "frames": frames}, levels)
    states = model.body.decode(found["body"], history.state)
    return model.frames.decode(model.frames.assemble(found["frames"], times)), states


@torch.no_grad()
@pytest.mark.parametrize("window", [1, 3, 4])
def test_cached_equals_uncached(window: int) -> None:
    model, clip = dreaming_model(window), long_clip()
    images, states = uncached(model, clip, [0, 1])
    stream = ImaginedRollout(model, 2, steps=1)
    stream.begin(clip.images, clip.state)
    for t in range(9):
        seen, state = stream.step(clip.executed[:, t])
        assert (seen.int() - images[:, t].int()).abs().max() <= 1
        torch.testing.assert_close(state, states[:, t], atol=2e-5, rtol=1e-4)
        stream.observe(clip.future[:, t], clip.more_future[STATE][:, t])


@torch.no_grad()
def test_nothing_is_seen_before_it_happens() -> None:
    model, clip = dreaming_model(), long_clip()
    images, states = uncached(model, clip, [0, 1])
    future, state, actions = clip.future.clone(), clip.more_future[STATE].clone(), clip.executed.clone()
    future[:, 4:], state[:, 4:], actions[:, 5:] = 255 - future[:, 4:], state[:, 4:] + 3, actions[:, 5:] - 1
    changed = replace(clip, future=future, more_future={STATE: state}, executed=actions)
    other_images, other_states = uncached(model, changed, [0, 1])
    assert torch.equal(images[:, :5], other_images[:, :5]) and torch.equal(states[:, :5], other_states[:, :5])
    assert all(not torch.equal(images[:, t], other_images[:, t]) for t in range(5, 9))


@torch.no_grad()
def test_what_lies_outside_the_window_is_forgotten() -> None:
    model, clip = dreaming_model(3), long_clip()
    images, _ = uncached(model, clip, [0, 1])
    future = clip.future.clone()
    future[:, 1] = 255 - future[:, 1]  # step 2 is attended to by those predicted after steps 2, 3 and 4
    other, _ = uncached(model, replace(clip, future=future), [0, 1])
    differ = [not torch.equal(images[:, t], other[:, t]) for t in range(9)]
    assert differ == [2 <= t <= 4 for t in range(9)]


@torch.no_grad()
def test_what_is_seen_takes_the_place_of_what_was_imagined() -> None:
    model, clip = dreaming_model(), long_clip()
    told, late = ImaginedRollout(model, 2), ImaginedRollout(model, 2)
    for stream in (told, late):
        stream.begin(clip.images, clip.state)
    for t in range(4):
        told.step(clip.executed[:, t])
        late.step(clip.executed[:, t])
        if t == 1:
            told.observe(clip.future[:, 1], clip.more_future[STATE][:, 1])
    assert not torch.equal(told.step(clip.executed[:, 4])[0], late.step(clip.executed[:, 4])[0])
    late.observe(clip.future[:, 1], clip.more_future[STATE][:, 1], ago=3)
    late.observe(told.images, told.state)
    told.observe(told.images, told.state)
    for ago in (1, 2):  # imagined after other steps in the two: make them the same
        for stream in (told, late):
            stream.observe(clip.future[:, 4 - ago], clip.more_future[STATE][:, 4 - ago], ago=ago)
    ours, theirs = told.step(clip.executed[:, 5]), late.step(clip.executed[:, 5])
    assert (ours[0].int() - theirs[0].int()).abs().max() <= 1
    torch.testing.assert_close(ours[1], theirs[1], atol=2e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="ago=4: expected a time step that is remembered, 0 to 3"):
        late.observe(clip.images, clip.state, ago=4)


def test_dreams_do_not_depend_on_neighbours_or_on_when_they_began() -> None:
    model, clip = dreaming_model(), long_clip()
    both, alone = ImaginedRollout(model, 2), ImaginedRollout(model)
    both.begin(clip.images, clip.state)
    for t in range(2):
        both.step(clip.executed[:, t])
    both.begin(clip.future[1:, 3], clip.state[1:], rows=[1], seeds=[9])
    alone.begin(clip.future[1:, 3], clip.state[1:], seeds=[9])
    for t in range(5):
        images, state = both.step(clip.executed[:, t])
        one, mine = alone.step(clip.executed[1:, t])
        assert (images[1:].int() - one.int()).abs().max() <= 1
        torch.testing.assert_close(state[1:], mine, atol=2e-5, rtol=1e-4)


def test_the_same_dream_twice_is_the_same_to_the_last_bit() -> None:
    model, clip = dreaming_model(), long_clip()
    stream, found = ImaginedRollout(model, 2), []
    for _ in range(2):
        stream.begin(clip.images, clip.state)
        found.append([stream.step(clip.executed[:, t]) for t in range(6)])
    assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(*found, strict=True))


@torch.no_grad()
def test_a_thousand_frames_take_no_more_memory_and_the_last_is_as_exact_as_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # which would take four fifths of the time
    model, clip = dreaming_model(), long_clip()
    stream, held, process = ImaginedRollout(model, 2, steps=1), [], psutil.Process()
    stream.begin(clip.images, clip.state)
    for step in range(1000):
        stream.step(clip.executed[:, step % 9])
        if step % 333 == 1:
            held.append((stream.ring.nbytes, process.memory_info().rss))
    assert len({tensors for tensors, _ in held}) == 1
    assert held[-1][1] - held[1][1] < 8e6, held
    assert stream.ring.isfinite().all() and stream.state.isfinite().all()
    body, frames = start_noise([0, 1], 9)
    images, states = uncached(model, clip, [0, 1])
    for t in range(9):  # seen again from here on
        before = (clip.images, clip.state) if t == 0 else (clip.future[:, t - 1], clip.more_future[STATE][:, t - 1])
        stream.observe(*before)
        noise = {"body": body[:, t : t + 1], "frames": frames[:, 8 * t : 8 * t + 8]}
        stream._noise = lambda shape, noise=noise: noise  # type: ignore[method-assign]
        seen, state = stream.step(clip.executed[:, t])
        if t >= 2:  # all that is remembered has been seen
            assert (seen.int() - images[:, t].int()).abs().max() <= 1
            torch.testing.assert_close(state, states[:, t], atol=2e-5, rtol=1e-4)


def test_what_does_not_fit_is_refused_and_nothing_moves() -> None:
    model, clip = dreaming_model(), long_clip()
    with pytest.raises(ValueError, match=r"has no imagined rollouts .*modes\.rollout=0"):
        ImaginedRollout(small_model())
    stream = ImaginedRollout(model, 2)
    with pytest.raises(RuntimeError, match="begin"):
        stream.step(clip.executed[:, 0])
    with pytest.raises(ValueError, match=r"uint8 frames \(2, 2, 32, 32, 3\)"):
        stream.begin(clip.images[:1], clip.state[:1])
    stream.begin(clip.images, clip.state)
    for wrong in (clip.executed[:, 0] * np.nan, clip.executed[:1, 0], clip.executed[:, 0, :3]):
        with pytest.raises(ValueError, match=r"expected finite actions \(2, 4\)"):
            stream.step(wrong)
    assert int(stream.age.max()) == 0 and torch.equal(stream.images, clip.images)
    with pytest.raises(ValueError, match="expected finite states"):
        stream.observe(clip.images, clip.state * np.nan)


def noise_of(model: WorldModel, own: float, seed: int = 0) -> dict[str, NoiseSample]:
    config = TrainConfig(data="", out="", rollout=RolloutConfig(p_self=own))
    return rollout_noise(
        model,
        config.rollout,
        config.noise.rollout,
        2,
        lambda purpose: torch.Generator().manual_seed(10 * seed + purpose),
    )


@pytest.mark.parametrize("own", [0.0, 1.0])
def test_gradient_flows_where_it_should(own: float) -> None:
    model, clip = dreaming_model(), long_clip(3)
    found = loss(model, clip, "rollout", noise_of(model, own), ObjectiveConfig())
    assert set(found) == {"loss", "frames", "body"}
    torch.testing.assert_close(found["loss"], found["frames"] + 0.1 * found["body"])
    found["loss"].backward()
    moved = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == {"frames", "actions", "proprioception", "body", "backbone"}
    assert model.actions.head.weight.grad is None, "actions are given, not wanted"


def test_a_model_is_streamed_in_the_levels_that_it_learned() -> None:
    even = dreaming_model()
    shifted = WorldModel(replace(even.config, shift=0.5)).eval()
    assert ImaginedRollout(even, 1, 2).levels.tolist() == [1, 0.5, 0]
    assert ImaginedRollout(shifted, 1, 2).levels.tolist() == pytest.approx([1, 1 / 3, 0])


@pytest.mark.parametrize("steps", [1, 3])
def test_self_generated_steps_are_what_a_rollout_would_imagine(steps: int) -> None:
    model, clip = dreaming_model(), long_clip(3)
    draws = (noise_of(model, 1.0, seed) for seed in range(20))
    noise = next(draw for draw in draws if draw["own.body"].eps.shape[1] == 2)
    (body, frames), own = (noise[name].eps for name in ("own.body", "own.frames")), 2
    assert frames.shape == (2, own * 8, 768)
    history, _, _ = history_and_targets(model, clip)
    found = self_force(model, history, frames, body, grid(steps))
    assert torch.equal(found.frames[:, :1], history.frames[:, :1]) and not found.state.requires_grad
    assert found.levels.tolist() == [[0.0, pytest.approx(SELF_NOISE_LEVEL), pytest.approx(SELF_NOISE_LEVEL)]] * 2
    stream = ImaginedRollout(model, 2, steps)
    stream.begin(clip.images, clip.state)
    drawn = iter({"body": body[:, n : n + 1], "frames": frames[:, 8 * n : 8 * n + 8]} for n in range(own))
    stream._noise = lambda shape: next(drawn)  # type: ignore[method-assign]
    for n in range(own):
        images, state = stream.step(clip.executed[:, n])
        torch.testing.assert_close(state, found.state[:, n + 1], atol=2e-3, rtol=1e-3)  # a stream shows whole bytes
        mine = model.frames.decode(model.frames.assemble(found.frames[:, n + 1], 1))[:, 0]
        assert (images.int() - mine.int()).abs().float().mean() < 0.5


def test_absolute_error_is_added_where_asked_for_and_only_of_frames_that_were_recorded() -> None:
    model, clip = dreaming_model(), long_clip(3)
    plain, more = (
        loss(model, clip, "rollout", noise_of(model, 0.0), ObjectiveConfig(l1=weight)) for weight in (0.0, 2.0)
    )
    assert "l1" not in plain and 0 < more["l1"] < 2
    torch.testing.assert_close(more["loss"], plain["loss"] + 2 * more["l1"])
    over = torch.tensor([[True, True, False]] * 2)
    cut, other = (
        loss(
            model,
            replace(clip, future=future, future_valid=over),
            "rollout",
            noise_of(model, 0.0),
            ObjectiveConfig(l1=2),
        )
        for future in (clip.future, clip.future.index_fill(1, torch.tensor([2]), 255))
    )
    assert torch.equal(cut["l1"], other["l1"]) and not torch.equal(cut["l1"], more["l1"])


def test_draws_are_reproducible_and_as_often_own_as_asked() -> None:
    model = dreaming_model()
    one, again = noise_of(model, 0.5, 3), noise_of(model, 0.5, 3)
    assert one.keys() == again.keys() and all(torch.equal(one[name].eps, again[name].eps) for name in one)
    assert torch.equal(one["frames"].levels, one["body"].levels) and one["frames"].levels.shape == (2, 3)
    assert one["observed"].levels.max() <= 0.2
    share = np.mean(["own.body" in noise_of(model, 0.5, seed) for seed in range(100)])
    assert 0.3 < share < 0.7
    assert not any("own.body" in noise_of(model, 0.0, seed) for seed in range(10))


def test_other_modes_and_other_models_are_as_they_were() -> None:
    plain, streaming = WorldModel(CONFIG), None
    torch.manual_seed(0)
    plain = WorldModel(CONFIG)
    torch.manual_seed(0)
    streaming = WorldModel(replace(CONFIG, window=3))
    ours, theirs = plain.state_dict(), streaming.state_dict()
    assert not any(name.startswith("body.") for name in ours)
    assert {name for name in theirs if name not in ours} == {n for n in theirs if n.startswith("body.")}
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
