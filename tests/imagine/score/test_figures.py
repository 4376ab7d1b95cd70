"""Figures whose value is known beforehand: likeness, intervals over episodes."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from worldmodel.imagine import image_metrics
from worldmodel.imagine.score.summary import plain
from worldmodel.report.bootstrap import ClusterBootstrap


def frames(seed: int, *shape: int) -> torch.Tensor:
    return torch.randint(0, 256, (*shape, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_the_same_frame_is_infinitely_alike_and_a_known_error_has_its_decibels() -> None:
    real = frames(0, 2, 3, 2)
    error = image_metrics.squared(real, real)
    assert error.shape == (2, 3, 2) and np.isinf(image_metrics.psnr(error)).all()
    assert image_metrics.similarity(real, real) == pytest.approx(np.ones((2, 3, 2)), abs=1e-5)
    grey, lighter = (
        torch.full((1, 16, 16, 3), 100, dtype=torch.uint8),
        torch.full((1, 16, 16, 3), 110, dtype=torch.uint8),
    )
    assert image_metrics.psnr(image_metrics.squared(grey, lighter))[0] == pytest.approx(20 * math.log10(255 / 10))
    assert image_metrics.similarity(real[0], frames(1, 3, 2)).max() < 0.1, "noise is not like other noise"


def test_decibels_of_an_error_may_have_a_ceiling() -> None:
    assert image_metrics.psnr(0.0, 99.0) == 99.0
    # An error of 10 everywhere: 10 log10(65025 / 100) = 28.131 dB.
    assert image_metrics.psnr(100.0, 99.0) == pytest.approx(28.131, abs=1e-3)


def test_an_error_is_counted_only_where_the_mask_is() -> None:
    real, guess = torch.zeros(1, 16, 16, 3, dtype=torch.uint8), torch.zeros(1, 16, 16, 3, dtype=torch.uint8)
    guess[:, :4, :4] = 10
    mask = torch.zeros(1, 16, 16, dtype=torch.bool)
    mask[:, :4, :8] = True
    assert image_metrics.squared_on(guess, real, mask)[0] == 16 * 100
    assert image_metrics.squared_on(guess, real, ~mask)[0] == 0


def test_lpips_without_its_weights_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = image_metrics.perceptual(fetch=False)
    assert isinstance(found, str) and found.startswith("LPIPS was left out: AlexNet's pretrained weights")
    assert "\n" not in found and found.endswith(".")
    monkeypatch.setattr(
        "torch.hub.load_state_dict_from_url", lambda *a, **k: (_ for _ in ()).throw(OSError("no\nnetwork"))
    )
    found = image_metrics.perceptual(fetch=True)
    assert isinstance(found, str) and found.count("LPIPS was left out") == 1 and "\n" not in found


def test_intervals_are_over_episodes_not_windows() -> None:
    episode = np.repeat([4, 9], 50)
    values = np.where(episode == 4, 1.0, 3.0)
    draw = ClusterBootstrap(episode, 400, 0)
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
