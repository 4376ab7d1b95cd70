"""Imagined rollouts of models with a memory: the ring gives what reading everything anew gives."""

import pytest
import torch

from worldmodel.backbone import BackboneConfig, KVCache
from worldmodel.model import ModelConfig, WorldModel
from worldmodel.model.history import advance, self_noise_level, tokens_per_step
from worldmodel.model.records import RolloutHistory
from worldmodel.model.rollout import ImaginedRollout

AGES = (1, 3)


def remembering(seed: int = 0, memory: tuple[int, ...] = AGES, window: int = 0) -> WorldModel:
    """A small model whose weights are far from their initial values, so that everything matters."""
    torch.manual_seed(seed)
    model = WorldModel(
        ModelConfig(backbone=BackboneConfig(32, 1, 2, 1), size=32, memory=memory, window=window, cameras=("a", "b"))
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


def seen(rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(seed)
    frames = torch.randint(0, 256, (rows, 2, 32, 32, 3), generator=source, dtype=torch.uint8)
    return frames, torch.randn(rows, 4, generator=source)


@torch.no_grad()
def test_the_ring_gives_what_a_list_of_all_keys_gives() -> None:
    model, rollout = remembering(), ImaginedRollout(remembering(), 2)
    images, state = seen(2, 0)
    rollout.begin(images, state)
    past: list[KVCache] = []
    actions = 0.1 * torch.randn(7, 2, 4, generator=torch.Generator().manual_seed(1))
    for t in range(7):  # beyond the ring's length, which is 4
        found, after = rollout.step(actions[t])
        kept = [past[t - age] for age in AGES if age <= t]
        cache = None
        if kept:
            blocks = zip(*kept, strict=True)
            cache = [tuple(torch.cat(parts, 2) for parts in zip(*block, strict=True)) for block in blocks]
        frames = model.frames.encode(images)
        level, when = self_noise_level(torch.tensor([[t]])).repeat(2, 1), torch.tensor([t / 20])
        patches = model.frames.patches(frames[:, None])[:, None]
        present = RolloutHistory(patches, state[:, None], actions[t][:, None], when, level)
        pixels, change, own = advance(model, cache, present, frames)
        assert (found.int() - model.frames.decode(pixels).int()).abs().max() <= 1
        torch.testing.assert_close(after, model.body.decode(change, state), rtol=1e-3, atol=1e-3)
        past.append(own)
        images, state = found, after


@torch.no_grad()
def test_rollouts_do_not_depend_on_their_neighbours_and_rows_begin_alone() -> None:
    both, alone = ImaginedRollout(remembering(), 2), ImaginedRollout(remembering(), 1)
    images, state = seen(2, 2)
    both.begin(images, state)
    for _ in range(3):
        both.step(torch.zeros(2, 4))
    both.begin(images[1:], state[1:], rows=[1])
    alone.begin(images[1:], state[1:])
    for _ in range(5):
        frames, _ = both.step(torch.full((2, 4), 0.1))
        single, _ = alone.step(torch.full((1, 4), 0.1))
        assert (frames[1].int() - single[0].int()).abs().max() <= 1


@torch.no_grad()
def test_an_observation_that_comes_late_takes_its_steps_place() -> None:
    late, early = ImaginedRollout(remembering(), 1), ImaginedRollout(remembering(), 1)
    images, state = seen(1, 3)
    truth, body = seen(1, 4)
    for rollout in (late, early):
        rollout.begin(images, state)
        rollout.step(torch.zeros(1, 4))
    early.observe(truth, body)
    for rollout in (late, early):
        rollout.step(torch.zeros(1, 4))
    late.observe(truth, body, ago=1)
    late.observe(early.images, early.state)
    early.observe(early.images, early.state)
    a, _ = late.step(torch.zeros(1, 4))
    b, _ = early.step(torch.zeros(1, 4))
    assert (a.int() - b.int()).abs().max() <= 1
    with pytest.raises(ValueError, match="ago=9"):
        late.observe(truth, body, ago=9)


def test_what_cannot_roll_out_says_so() -> None:
    with pytest.raises(ValueError, match="has no imagined rollouts"):
        ImaginedRollout(remembering(memory=()))
    rollout = ImaginedRollout(remembering())
    with pytest.raises(RuntimeError, match="before begin"):
        rollout.step(torch.zeros(1, 4))
    rollout.begin(*seen(1, 0))
    with pytest.raises(ValueError, match="finite actions"):
        rollout.step(torch.full((1, 4), torch.nan))
    assert tokens_per_step(remembering()) == 2 * 4 + 2


def test_the_noise_level_grows_with_every_imagined_step_and_is_none_after_an_observation() -> None:
    levels = self_noise_level(torch.tensor([0, 1, 2, 16, 10_000]))
    torch.testing.assert_close(levels, torch.tensor([0, 0.1, 0.2, 0.5, 0.9]))
