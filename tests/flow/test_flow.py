"""The flow: one clock, losses by hand, and samplers against a closed form."""

import pytest
import torch
from torch import Tensor

from worldmodel.flow import mix, sample, velocity
from worldmodel.flow.noise import clean_draw
from worldmodel.flow.path import step, velocity_error
from worldmodel.flow.sampler import grid
from worldmodel.objectives import OBJECTIVES, ObjectiveConfig, TimestepDistribution, draw_noise
from worldmodel.objectives.losses import alignment, flow_loss
from worldmodel.objectives.noise import draw_levels


def test_noise_zero_is_clean_and_one_is_noise() -> None:
    clean, eps = torch.randn(3, 4), torch.randn(3, 4)
    assert torch.equal(mix(clean, eps, torch.tensor(0.0)), clean)
    assert torch.equal(mix(clean, eps, torch.tensor(1.0)), eps)
    slope = (mix(clean, eps, torch.tensor(0.6)) - mix(clean, eps, torch.tensor(0.4))) / 0.2
    torch.testing.assert_close(slope, velocity(clean, eps), atol=1e-5, rtol=1e-4)


def test_velocity_error_is_the_error_of_the_velocity() -> None:
    clean, eps, guess = torch.randn(3, 5, 4), torch.randn(3, 5, 4), torch.randn(3, 5, 4)
    noise = torch.rand(3, 5, 1) * 0.8 + 0.2
    implied = (mix(clean, eps, noise) - guess) / noise
    expected = (implied - velocity(clean, eps)).square()
    torch.testing.assert_close(velocity_error(guess, clean, noise, 0.05), expected, atol=1e-4, rtol=1e-3)
    clamped = velocity_error(guess, clean, torch.full((3, 5, 1), 1e-4), 0.05)
    torch.testing.assert_close(clamped, ((guess - clean) / 0.05).square())


def test_flow_loss_by_hand() -> None:
    predicted, clean = torch.tensor([[[1.0, 3.0], [9.0, 9.0]]]), torch.tensor([[[0.0, 1.0], [0.0, 0.0]]])
    noise, valid = torch.tensor([[[0.5], [0.5]]]), torch.tensor([[True, False]])
    # Only the first token counts: ((1 / 0.5)^2 + (2 / 0.5)^2) / 2 = (4 + 16) / 2.
    assert flow_loss(predicted, clean, noise, valid, 0.05).item() == pytest.approx(10.0)
    assert flow_loss(predicted, clean, noise, torch.zeros_like(valid), 0.05).item() == 0.0


def test_alignment_is_over_channels_and_stops_at_the_teacher() -> None:
    student = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]], requires_grad=True)
    teacher = torch.tensor([[[3.0, 0.0], [4.0, 3.0]]], requires_grad=True)
    # Cosines 1 and 0.6; over tokens (the known mistake) it would be something else.
    loss = alignment(student, teacher)
    assert loss.item() == pytest.approx(-0.8)
    loss.backward()
    assert student.grad is not None and teacher.grad is None


def test_the_teacher_is_never_noisier_and_shares_the_noise_sample() -> None:
    generator = torch.Generator().manual_seed(0)
    draw = draw_noise(TimestepDistribution(masked=0.3), (64, 50, 2), generator, OBJECTIVES["self_flow"])
    teacher = draw.teacher()
    assert (teacher.noise() <= draw.noise()).all() and (teacher.noise() < draw.noise()).any()
    assert teacher.eps is draw.eps
    assert draw.level_index.float().mean().item() == pytest.approx(0.3, abs=0.03)
    both = draw.levels
    assert abs((both[:, 0] > both[:, 1]).float().mean().item() - 0.5) < 0.2, "the two levels are not sorted"


def test_noise_laws_stay_in_range_and_hold_their_shares() -> None:
    levels = draw_levels(TimestepDistribution(p_max=0.25, p_high=0.2), 20_000, torch.Generator().manual_seed(1))
    assert levels.min() > 0 and levels.max() == 1
    assert (levels == 1).float().mean().item() == pytest.approx(0.25, abs=0.015)
    assert ((levels >= 0.95) & (levels < 1)).float().mean().item() == pytest.approx(0.15 + 0.01, abs=0.02)
    with pytest.raises(ValueError, match=r"masked=0\.6"):
        TimestepDistribution(masked=0.6)


def test_given_tokens_have_no_noise() -> None:
    assert (clean_draw(torch.zeros(2, 3, 4)).noise() == 0).all()


def gaussian_error(steps: int) -> float:
    """Distance to the exact sample m + s * eps of a Gaussian N(m, s^2), whose best denoiser is known."""
    mean, spread = 0.7, 0.5
    eps = torch.linspace(-2, 2, 41)

    def denoise(values: dict[str, Tensor], t: Tensor) -> dict[str, Tensor]:
        variance = (1 - t) ** 2 * spread**2 + t**2
        return {"x": mean + (1 - t) * spread**2 / variance * (values["x"] - (1 - t) * mean)}

    return (sample(denoise, {"x": eps}, grid(steps))["x"] - (mean + spread * eps)).abs().max().item()


def test_the_sampler_converges_at_first_order() -> None:
    errors = [gaussian_error(steps) for steps in (16, 32, 64)]
    slopes = [errors[i] / errors[i + 1] for i in range(2)]
    assert slopes == pytest.approx([2.0] * 2, rel=0.25)


def test_one_step_is_the_prediction_and_a_constant_prediction_is_exact() -> None:
    start = {"x": torch.randn(8)}
    for steps in (1, 3):
        out = sample(lambda values, t: {"x": torch.full((8,), 2.0)}, start, grid(steps))
        torch.testing.assert_close(out["x"], torch.full((8,), 2.0))
    assert torch.equal(step(start["x"], start["x"] * 0, torch.tensor(1.0), torch.tensor(0.0)), start["x"] * 0)


def test_the_grid_walks_from_noise_to_data() -> None:
    assert grid(4).tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert (grid(4, shift=3.0)[1:-1] > grid(4)[1:-1]).all()
    assert grid(1, shift=0.5).tolist() == [1, 0]
    assert grid(4, shift=0.5).tolist() == pytest.approx([1, 3 / 5, 1 / 3, 1 / 7, 0])
    with pytest.raises(ValueError, match="at least 1 step"):
        grid(0)


def test_an_unknown_objective_is_refused() -> None:
    with pytest.raises(ValueError, match="'selfflow'"):
        ObjectiveConfig(name="selfflow")
