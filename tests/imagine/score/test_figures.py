"""Figures whose value is known beforehand: likeness, distances between sets, intervals over episodes."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from worldmodel.imagine.score import frechet, likeness
from worldmodel.imagine.score.resample import Resampled, plain


def frames(seed: int, *shape: int) -> torch.Tensor:
    return torch.randint(0, 256, (*shape, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_the_same_frame_is_infinitely_alike_and_a_known_error_has_its_decibels() -> None:
    real = frames(0, 2, 3, 2)
    error = likeness.squared(real, real)
    assert error.shape == (2, 3, 2) and np.isinf(likeness.psnr(error)).all()
    assert likeness.similarity(real, real) == pytest.approx(np.ones((2, 3, 2)), abs=1e-5)
    grey, lighter = (
        torch.full((1, 16, 16, 3), 100, dtype=torch.uint8),
        torch.full((1, 16, 16, 3), 110, dtype=torch.uint8),
    )
    assert likeness.psnr(likeness.squared(grey, lighter))[0] == pytest.approx(20 * math.log10(255 / 10))
    assert likeness.similarity(real[0], frames(1, 3, 2)).max() < 0.1, "noise is not like other noise"


def test_an_error_is_counted_only_where_the_mask_is() -> None:
    real, guess = torch.zeros(1, 16, 16, 3, dtype=torch.uint8), torch.zeros(1, 16, 16, 3, dtype=torch.uint8)
    guess[:, :4, :4] = 10
    mask = torch.zeros(1, 16, 16, dtype=torch.bool)
    mask[:, :4, :8] = True
    assert likeness.squared_on(guess, real, mask)[0] == 16 * 100
    assert likeness.squared_on(guess, real, ~mask)[0] == 0


def test_lpips_without_its_weights_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = likeness.perceptual(fetch=False)
    assert isinstance(found, str) and found.startswith("LPIPS was left out: AlexNet's pretrained weights")
    assert "\n" not in found and found.endswith(".")
    monkeypatch.setattr(
        "torch.hub.load_state_dict_from_url", lambda *a, **k: (_ for _ in ()).throw(OSError("no\nnetwork"))
    )
    found = likeness.perceptual(fetch=True)
    assert isinstance(found, str) and found.count("LPIPS was left out") == 1 and "\n" not in found


def test_the_net_is_the_same_at_every_call_and_leaves_the_seed_alone() -> None:
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    nets = [frechet.network(), frechet.network()]
    assert torch.equal(torch.rand(1), before)
    each = [frechet.features(net, frames(3, 4, 2)) for net in nets]
    assert each[0].shape == (4, 2, 64) and (each[0] == each[1]).all() and each[0].std() > 0


def test_frechet_distances_that_are_known() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(4000, 8)) * np.arange(1, 9)
    variance = samples.var(0).sum()
    assert frechet.distance(samples, samples) == pytest.approx(0, abs=1e-9)
    shift = np.array([3.0, 4, 0, 0, 0, 0, 0, 0])
    assert frechet.distance(samples, samples + shift) == pytest.approx(25 / variance, rel=1e-6)
    doubled = samples * 2 - samples.mean(0)  # the same mean, twice the deviation: the distance is the variance itself
    assert frechet.distance(samples, doubled) == pytest.approx(1, rel=0.01)
    with pytest.raises(ValueError, match="a covariance needs two samples, got 1 and 4000"):
        frechet.distance(samples[:1], samples)


def test_a_few_samples_are_shrunk_and_many_are_not() -> None:
    rng = np.random.default_rng(1)
    few = frechet.shrunk(rng.normal(size=(10, 64)))
    assert np.linalg.eigvalsh(few).min() > 0.3 and abs(np.trace(few) - 64) < 15, "ten samples alone have rank nine"
    many = rng.normal(size=(50_000, 4)) * [1, 2, 3, 4]
    assert frechet.shrunk(many) == pytest.approx(np.cov(many.T, bias=True), rel=0.02, abs=0.05)
    pair = [rng.normal(size=(200, 64)) for _ in range(2)]
    raw = sum((p.mean(0) ** 2).sum() for p in pair)
    assert frechet.distance(*pair) < 0.1 + raw, "two draws from one distribution are close"


def test_intervals_are_over_episodes_not_windows() -> None:
    episode = np.repeat([4, 9], 50)
    values = np.where(episode == 4, 1.0, 3.0)
    draw = Resampled(episode, 400, 0)
    whole, drawn = draw.ratio(values, np.ones(100))
    assert whole == 2 and set(np.unique(drawn)) == {1, 2, 3}, "two episodes give three means, whatever their length"
    assert draw.interval(drawn) == [1, 3]
    weighted, _ = draw.ratio(values * (episode == 4), (episode == 4).astype(float))
    assert weighted == 1
    middle, redrawn = draw.median(values[:, None], np.ones((100, 1), bool))
    assert middle == 2 and {1, 3} <= set(redrawn)
    assert math.isnan(draw.median(values[:, None], np.zeros((100, 1), bool))[0])


def test_json_has_no_infinity_and_no_nan() -> None:
    found = plain({"a": np.float64("inf"), "b": [np.nan, np.int64(3)], "c": np.array(1.234567), "d": True})
    assert found == {"a": "inf", "b": [None, 3], "c": 1.2346, "d": True}
