"""Every objective's loss against one made by hand from the same parts, and what each promises."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from tests.fakes.small import small_clip, small_model
from tests.test_model import noise_for
from worldmodel.flow import NoiseSample, mix
from worldmodel.flow.sampler import regression_grid, sample
from worldmodel.model import Given, Want, WorldModel
from worldmodel.objectives import OBJECTIVES, NoiseConfig, ObjectiveConfig, TimestepDistribution, draw_noise, loss
from worldmodel.objectives.config import ObservationNoise
from worldmodel.objectives.losses import dispersion, regression_loss
from worldmodel.objectives.noise import draw_observed, draw_regression
from worldmodel.objectives.training import groups_apart, present
from worldmodel.schema import Clip
from worldmodel.tokens.audio import AudioConfig

TEACHING = ("sra", "self_flow", "separated")


def features(model: WorldModel, clip: Clip, noise: dict[str, NoiseSample], block: int) -> torch.Tensor:
    """Tokens after a block, by way of the model's parts."""
    clean = {"actions": model.actions.encode(clip.action, clip.state), "frames": model.frames.truth(clip, True)}
    noisy = {name: mix(clean[name], noise[name].eps, noise[name].noise()) for name in clean}
    return model.backbone(model.sequence(noisy, noise, clip.at), model.observe(clip).kv)[1][block]


def gap(model: WorldModel, found: dict[str, torch.Tensor]) -> torch.Tensor:
    """What the loss holds beside the flow losses."""
    return found["loss"] - found["actions"] - found["frames"]


@pytest.mark.parametrize("kind", ["flow", "dual", "frame"])
def test_arms_that_only_spread_noise_have_no_other_loss(kind: str) -> None:
    found = loss(small_model(), small_clip(), "joint", noise_for("joint", kind=kind), ObjectiveConfig(name=kind))
    assert set(found) == {"loss", "actions", "frames"}
    torch.testing.assert_close(found["loss"], found["actions"] + found["frames"])


@pytest.mark.parametrize("kind", ["sra", "self_flow"])
def test_the_alignment_is_the_hand_made_one(kind: str) -> None:
    model, teacher, clip = small_model(projector=True), small_model(projector=True), small_clip()
    teacher.backbone.blocks[0].mlp[0].weight.data += 0.02
    noise, objective = noise_for("joint", kind=kind), ObjectiveConfig(name=kind)
    cleaner = {n: NoiseSample(d.eps, d.levels.amin(1, True), torch.zeros_like(d.level_index)) for n, d in noise.items()}
    if kind == "sra":
        assert noise["frames"].nearer is not None
        cleaner["frames"] = replace(cleaner["frames"], levels=noise["frames"].nearer)
    assert model.projector is not None
    student = model.projector(features(model, clip, noise, 1))
    target = features(teacher, clip, cleaner, 2).detach()
    by_hand = -((student * target).sum(-1) / student.norm(dim=-1) / target.norm(dim=-1)).mean()
    found = loss(model, clip, "joint", noise, objective, teacher)
    torch.testing.assert_close(found["align"], by_hand)
    torch.testing.assert_close(gap(model, found), 0.8 * by_hand)
    assert found["asymmetry"] > 0 and -1 <= found["mean_direction"] <= 1


@pytest.mark.parametrize("kind", TEACHING)
def test_the_teacher_is_never_noisier_shares_the_sample_and_learns_nothing(kind: str) -> None:
    law, generator = TimestepDistribution(masked=0.3), torch.Generator().manual_seed(0)
    draw = draw_noise(law, (64, 50, 2), generator, OBJECTIVES[kind])
    cleaner = draw.teacher()
    assert (cleaner.noise() <= draw.noise()).all() and (cleaner.noise() < draw.noise()).any()
    assert cleaner.eps is draw.eps and cleaner.levels.shape == (64, 1), "one level for all tokens, one noise sample"
    model, teacher = small_model(projector=True), small_model(projector=True)
    loss(model, small_clip(), "joint", noise_for("joint", kind=kind), ObjectiveConfig(name=kind), teacher)[
        "loss"
    ].backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert model.projector is not None and next(model.projector.parameters()).grad is not None
    with pytest.raises(ValueError, match="EMA teacher"):
        loss(model, small_clip(), "joint", noise_for("joint", kind=kind), ObjectiveConfig(name=kind), None)


def test_sra_stays_within_its_distance() -> None:
    draw = draw_noise(
        TimestepDistribution(masked=0.1), (500, 3, 1), torch.Generator().manual_seed(0), OBJECTIVES["sra"]
    )
    assert draw.nearer is not None
    distance = draw.levels - draw.nearer
    assert (distance >= 0).all() and distance.max() <= 0.2 + 1e-6 and (draw.nearer >= 0).all()
    assert distance.mean().item() == pytest.approx(0.1, abs=0.01)


def test_the_teacher_stops_at_its_block() -> None:
    model, clip = small_model(projector=True), small_clip()
    teacher, calls = small_model(projector=True), []
    objective = ObjectiveConfig(name="self_flow", student=0.3, teacher=0.4)  # of two blocks: 1 and, at least, 2
    assert (
        objective.taps(2) == (1, 2) and ObjectiveConfig().taps(12) == (4, 8) and ObjectiveConfig().taps(28) == (8, 20)
    )
    teacher.backbone.norm.register_forward_hook(lambda *_: calls.append("past the last block"))
    loss(model, clip, "joint", noise_for("joint", kind="self_flow"), objective, teacher)
    assert not calls


def test_arms_share_noise_sample_and_first_level() -> None:
    draws = {
        k: draw_noise(TimestepDistribution(masked=0.3), (8, 6, 2), torch.Generator().manual_seed(1), OBJECTIVES[k], 2)
        for k in OBJECTIVES
    }
    for draw in draws.values():
        assert torch.equal(draw.eps, draws["flow"].eps)
        assert torch.equal(draw.levels[:, 0], draws["flow"].levels[:, 0])


def test_frames_have_levels_of_their_own() -> None:
    draw = draw_noise(
        TimestepDistribution(), (4, 6, 2), torch.Generator().manual_seed(0), OBJECTIVES["frame"], frames=3
    )
    assert draw.level_index.tolist() == [[0, 0, 1, 1, 2, 2]] and draw.levels.shape == (4, 3)
    assert len(set(draw.levels[0].tolist())) == 3


def test_noise_groups_are_kept_apart() -> None:
    model, clip = small_model(projector=True), small_clip()
    noise = noise_for("joint", kind="separated")
    allowed = groups_apart(noise, present(model, clip, "joint", noise))
    assert allowed is not None
    level_index = noise["frames"].level_index[0]
    assert allowed[0, :16].all() and allowed[0, :, :16].all(), "actions read all and are read by all"
    assert torch.equal(allowed[0, 16:, 16:], level_index[:, None] == level_index[None, :])
    teacher = small_model(projector=True)
    apart = loss(model, clip, "joint", noise, ObjectiveConfig(name="separated"), teacher)
    open_ = loss(model, clip, "joint", noise, ObjectiveConfig(name="self_flow"), teacher)
    assert not torch.allclose(apart["frames"], open_["frames"])


def test_dispersion_by_hand() -> None:
    z = torch.tensor([[[0.0, 0.0]], [[2.0, 0.0]]])
    # Squared distance 4, by dimension 2; pairs (1,1), (2,2) at 0 and (1,2), (2,1) at 2; temperature 0.5.
    expected = ((2 + 2 * torch.tensor(-4.0).exp()) / 4).log()
    torch.testing.assert_close(dispersion(z, 0.5), expected)
    model, clip, noise = small_model(), small_clip(), noise_for("joint")
    found = loss(model, clip, "joint", noise, ObjectiveConfig(name="dispersive"))
    torch.testing.assert_close(gap(model, found), 0.5 * found["disperse"])
    torch.testing.assert_close(found["disperse"], dispersion(features(model, clip, noise, 1), 0.5))


def test_repa_is_half_the_negative_cosine_to_the_clean_frames_features() -> None:
    model, clip, noise = small_model(external=5), small_clip(), noise_for("joint")
    theirs = torch.randn(2, 2, 2, 4, 5, generator=torch.Generator().manual_seed(4))
    found = loss(model, replace(clip, features=theirs), "joint", noise, ObjectiveConfig(name="repa"))
    assert model.external is not None
    mine = model.external(features(model, clip, noise, 1)[:, 16:])
    by_hand = -F.cosine_similarity(mine, theirs.reshape(2, 16, 5), dim=-1).mean()
    torch.testing.assert_close(found["external"], by_hand)
    torch.testing.assert_close(gap(model, found), 0.5 * by_hand)
    with pytest.raises(ValueError, match="worldmodel encode"):
        loss(model, clip, "joint", noise, ObjectiveConfig(name="repa"))


def test_regression_losses_by_hand() -> None:
    clean, predicted = torch.zeros(2, 1, 1), torch.tensor([[[0.9]], [[0.2]]])
    noise, valid = torch.tensor([[[1.0]], [[0.1]]]), torch.ones(2, 1, dtype=torch.bool)
    # MIP: (0.9 / t*)^2 = 1 for the first pass, (0.2 / (1 - t*))^2 = 4 for the second; mean over the rows.
    assert regression_loss(predicted, clean, noise, valid).item() == pytest.approx(2.5)


@pytest.mark.parametrize("kind", ["regression", "mip"])
def test_a_regression_sees_nothing_of_its_target_but_what_it_refines(kind: str) -> None:
    draw = draw_regression((6, 16, 4), torch.Generator().manual_seed(0), OBJECTIVES[kind])
    first = slice(0, None, OBJECTIVES[kind].passes)
    assert (draw.levels[first] == 1).all() and (draw.eps[first] == 0).all(), "zeros at pure noise"
    if kind == "mip":
        assert torch.allclose(draw.levels[1::2], torch.tensor(0.1)) and (draw.eps[1::2] != 0).all()
    found = loss(small_model(), small_clip(6), "policy", {"actions": draw}, ObjectiveConfig(name=kind))
    assert set(found) == {"loss", "actions"} and found["actions"].isfinite()


def test_a_regression_answers_without_chance() -> None:
    model = small_model()
    model.config = replace(model.config, sampler="mip")
    clip = small_clip()
    given = Given(clip.images, clip.state, clip.task)
    one, other = (
        model.predict(given, Want(actions=True), generator=torch.Generator().manual_seed(s)).actions for s in (0, 1)
    )
    assert one is not None and other is not None and torch.equal(one, other)


def test_mips_second_pass_reads_the_first_ones_answer_as_it_was_trained() -> None:
    seen = []

    def denoise(values: dict[str, torch.Tensor], now: torch.Tensor) -> dict[str, torch.Tensor]:
        seen.append((float(now), values["x"].clone()))
        return {"x": torch.full((3,), 2.0)}

    sample(denoise, {"x": torch.zeros(3)}, regression_grid("mip"))
    assert [now for now, _ in seen] == pytest.approx([1.0, 0.1])
    torch.testing.assert_close(seen[1][1], torch.full((3,), 0.9 * 2.0))  # as `mix` makes it, with eps 0


def test_observed_frames_may_be_noised_and_are_then_aligned_too() -> None:
    generator = torch.Generator().manual_seed(0)
    assert draw_observed(ObservationNoise(), (4, 8, 3), generator, OBJECTIVES["self_flow"]) is None
    assert draw_observed(ObservationNoise(masked=0.5), (4, 8, 3), generator, OBJECTIVES["flow"]) is None, (
        "masks are for dual arms"
    )
    little = draw_observed(ObservationNoise(high=0.2), (400, 8, 3), generator, OBJECTIVES["flow"])
    assert little is not None and little.noise().max() <= 0.2
    model, teacher, clip = small_model(projector=True), small_model(projector=True), small_clip()
    law = ObservationNoise(masked=0.5)
    drawn = draw_observed(law, (2, 8, 768), generator, OBJECTIVES["self_flow"])
    assert drawn is not None and (drawn.teacher().noise() == 0).all()
    noise = noise_for("policy", kind="self_flow") | {"observed": drawn}
    found = loss(model, clip, "policy", noise, ObjectiveConfig(name="self_flow"), teacher)
    assert "align" in found and found["asymmetry"] > 0
    clean = loss(model, clip, "policy", {"actions": noise["actions"]}, ObjectiveConfig(name="self_flow"), teacher)
    assert "align" not in clean, "without a cleaner view there is nothing to align"
    assert not torch.allclose(found["actions"], clean["actions"])


def test_models_with_and_without_heads_start_from_the_same_weights() -> None:
    plain, trained_modes = small_model().state_dict(), small_model(projector=True).state_dict()
    torch.manual_seed(0)
    bare = WorldModel(small_model().config).state_dict()
    torch.manual_seed(0)
    headed = WorldModel(small_model().config, projector=True, external=3).state_dict()
    assert all(torch.equal(value, headed[name]) for name, value in bare.items())
    assert set(plain) < set(trained_modes)


def test_laws_are_per_modality() -> None:
    laws = NoiseConfig()
    assert (laws.frames.masked, laws.actions.masked, AudioConfig().noise.masked) == (0.1, 0.0, 0.5)
