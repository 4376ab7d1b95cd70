"""The world model: five modes are one operation, and no future leaks into the policy."""

from dataclasses import replace

import pytest
import torch
from small import CONFIG, small_clip, small_given, small_model

from worldmodel.flow import MODES, NoiseSample, mix
from worldmodel.flow.noise import clean_draw
from worldmodel.model import Given, Want
from worldmodel.objectives import OBJECTIVES, ObjectiveConfig, TimestepDistribution, draw_noise, loss
from worldmodel.objectives.losses import flow_loss
from worldmodel.tokens import Actions

FRAMES, ACTIONS = (2, 16, 768), (2, 16, 4)


def noise_for(mode: str, draws: int = 1, kind: str = "flow") -> dict[str, NoiseSample]:
    generator, roles, spec = torch.Generator().manual_seed(3), MODES[mode], OBJECTIVES[kind]
    law, masked, out = TimestepDistribution(), TimestepDistribution(masked=0.3), {}
    actions = (ACTIONS[0] * draws, *ACTIONS[1:])
    if roles.actions != "absent":
        wanted, given = roles.actions == "wanted", clean_draw(torch.zeros(actions))
        out["actions"] = draw_noise(law, actions, generator, spec) if wanted else given
    if roles.frames != "absent":
        wanted, given = roles.frames == "wanted", clean_draw(torch.zeros(FRAMES))
        out["frames"] = draw_noise(masked, FRAMES, generator, spec, 2) if wanted else given
    return out


def given_for(mode: str) -> tuple[Given, Want]:
    clip, roles, given = small_clip(), MODES[mode], small_given()
    if roles.actions == "given":
        given = replace(given, actions=clip.action)
    if roles.frames == "given":
        given = replace(given, frames=clip.future, at=clip.at)
    return given, Want(actions=roles.actions == "wanted", at=clip.at if roles.frames == "wanted" else None)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_predicts_what_it_wants_and_nothing_else(mode: str) -> None:
    given, want = given_for(mode)
    found = small_model().predict(given, want, steps=2, generator=torch.Generator().manual_seed(0))
    assert (found.actions is not None) == want.actions and (found.frames is not None) == (want.at is not None)
    if found.actions is not None:
        assert found.actions.shape == ACTIONS and found.actions.isfinite().all()
    if found.frames is not None:
        assert found.frames.shape == (2, 2, 2, 32, 32, 3) and found.frames.dtype == torch.uint8


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_learns_only_from_what_it_wants(mode: str) -> None:
    model = small_model()
    found = loss(model, small_clip(), mode, noise_for(mode), ObjectiveConfig())
    roles = MODES[mode]
    wanted = {name for name in ("actions", "frames") if getattr(roles, name) == "wanted"}
    assert set(found) == {"loss"} | wanted
    torch.testing.assert_close(found["loss"], sum((found[name] for name in wanted), torch.tensor(0.0)))
    found["loss"].backward()
    assert (model.frames.head.weight.grad is not None) == ("frames" in wanted)
    assert (model.actions.head.weight.grad is not None) == ("actions" in wanted)


def test_the_loss_is_the_hand_made_one() -> None:
    model, clip, draw = small_model(), small_clip(), noise_for("policy")
    seen = model.observe(clip)
    clean = model.actions.encode(clip.action, clip.state)
    noisy = {"actions": mix(clean, draw["actions"].eps, draw["actions"].noise())}
    features, _ = model.backbone(model.sequence(noisy, draw, None), seen.kv)
    guess = model.read(features, noisy, seen.last)["actions"]
    expected = flow_loss(guess, clean, draw["actions"].noise(), clip.valid, Actions.floor)
    found = loss(model, clip, "policy", draw, ObjectiveConfig())
    torch.testing.assert_close(found["actions"], expected)


def test_several_draws_of_one_observation_are_the_mean_of_their_losses() -> None:
    model, clip, both = small_model(), small_clip(), noise_for("policy", draws=2)["actions"]
    halves = [NoiseSample(both.eps[i::2], both.levels[i::2], both.level_index) for i in range(2)]
    whole = loss(model, clip, "policy", {"actions": both}, ObjectiveConfig())["loss"]
    parts = [loss(model, clip, "policy", {"actions": half}, ObjectiveConfig())["loss"] for half in halves]
    torch.testing.assert_close(whole, (parts[0] + parts[1]) / 2)


def test_masked_steps_do_not_teach() -> None:
    model, clip, draw = small_model(), small_clip(), noise_for("policy")["actions"]
    pure = {
        "actions": NoiseSample(draw.eps, torch.ones_like(draw.levels), draw.level_index)
    }  # at pure noise no target is seen
    valid = clip.valid.clone()
    valid[:, 8:] = False
    changed = clip.action.clone()
    changed[:, 8:] += 1000.0
    one, other = (
        loss(model, replace(clip, valid=valid, action=action), "policy", pure, ObjectiveConfig())["loss"]
        for action in (clip.action, changed)
    )
    assert torch.equal(one, other)
    assert loss(model, replace(clip, action=changed), "policy", pure, ObjectiveConfig())["loss"] > other


def test_acting_does_not_depend_on_neighbours_or_on_how_it_is_asked() -> None:
    model, given = small_model(), small_given()
    start = torch.randn(2, 16, 4, generator=torch.Generator().manual_seed(5))
    both = model.act(given, steps=2, start=start)
    one = model.act(Given(given.images[1:], given.state[1:], given.task[1:]), steps=2, start=start[1:])
    torch.testing.assert_close(both[1:], one, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(both, model.predict(given, Want(actions=True), 2, {"actions": start}).actions)


def test_bfloat16_weights_act_like_float32_ones() -> None:
    start = torch.randn(2, 16, 4, generator=torch.Generator().manual_seed(5))
    exact, fast = (small_model().compute_in(d).act(small_given(), 2, start) for d in (torch.float32, torch.bfloat16))
    assert fast.dtype == torch.float32 and (exact - fast).abs().max() < 0.05


def test_several_questions_about_one_observation_share_its_reading() -> None:
    model, given = small_model(), replace(small_given(), actions=small_clip().action)
    at = torch.tensor([[1, 2], [3, 4], [5, 9], [2, 16]])
    twice = Given(*(x.repeat_interleave(2, 0) for x in (given.images, given.state, given.task, given.actions)))
    shared, alone = (model.imagine(g, at, 2, torch.Generator().manual_seed(0)) for g in (given, twice))
    assert (shared.int() - alone.int()).abs().max() <= 1
    with pytest.raises(ValueError, match="at has 3 rows for 2 observations"):
        model.imagine(given, at[:3])


def test_contradictions_are_refused() -> None:
    model, clip = small_model(), small_clip()
    with pytest.raises(ValueError, match="nothing is wanted"):
        model.predict(small_given(), Want())
    with pytest.raises(ValueError, match="both given and wanted"):
        model.predict(replace(small_given(), actions=clip.action), Want(actions=True))
    with pytest.raises(ValueError, match="both given and wanted"):
        model.predict(replace(small_given(), frames=clip.future, at=clip.at), Want(at=clip.at))
    assert CONFIG.chunk_size == 16


def test_later_frames_never_leak_and_are_read_where_they_are_given() -> None:
    model, clip, draw = small_model(), small_clip(), noise_for("policy")
    torch.nn.init.normal_(model.actions.head.weight)
    other = replace(clip, future=255 - clip.future)
    policy = [loss(model, each, "policy", draw, ObjectiveConfig())["actions"] for each in (clip, other)]
    inverse = [loss(model, each, "inverse", draw, ObjectiveConfig())["actions"] for each in (clip, other)]
    assert torch.equal(*policy) and not torch.equal(*inverse)


def test_inverse_dynamics_is_asked_as_it_was_trained() -> None:
    """One step from pure noise says what the loss is about: given frames are read with the observation in both."""
    model, clip = small_model(), small_clip()
    torch.nn.init.normal_(model.actions.head.weight)
    eps, levels = torch.randn(ACTIONS, generator=torch.Generator().manual_seed(1)), torch.ones(2, 1)
    draw = {"actions": NoiseSample(eps, levels, torch.zeros(1, 16, dtype=torch.int64))}
    given = Given(clip.images, clip.state, clip.task, None, clip.future, clip.at)
    told = model.predict(given, Want(actions=True), 1, {"actions": eps}).actions
    assert told is not None
    guess, clean = model.actions.encode(told, clip.state), model.actions.encode(clip.action, clip.state)
    free = ~model.actions.scaling.binary  # what has two values is snapped to one of them
    found = loss(model, clip, "inverse", draw, ObjectiveConfig())["actions"]
    expected = flow_loss(guess, clean, draw["actions"].noise(), clip.valid, Actions.floor)
    assert free.all() and torch.allclose(found, expected, rtol=1e-4)
