"""Sound as tokens: a pure tone has a known spectrum, and every token its second."""

import math

import numpy as np
import pytest
import torch

from worldmodel.schema import AUDIO, AUDIO_HZ, Clip
from worldmodel.tokens.audio import FLOOR, LONG, Audio, AudioConfig, mel_filters


def audio() -> Audio:
    torch.manual_seed(0)
    return Audio(AudioConfig(), chunk_size=16, width=32, control_hz=20.0)


def tone(hertz: float, loud: float) -> torch.Tensor:
    return loud * torch.sin(2 * math.pi * hertz * torch.arange(400) / AUDIO_HZ)


def test_a_pure_tone_has_the_spectrum_of_a_hann_window() -> None:
    bin_, loud = 32, 0.5
    found = audio().features(tone(bin_ * AUDIO_HZ / LONG, loud)).unflatten(-1, (2, 16))
    # A Hann window puts the tone's power into its own bin and a quarter of it into each neighbour
    power = torch.zeros(LONG // 2 + 1)
    power[[bin_ - 1, bin_, bin_ + 1]] = loud**2 * torch.tensor([0.25, 1.0, 0.25])
    expected = torch.log10(power @ mel_filters(16) + FLOOR)
    assert torch.allclose(found[0], expected, atol=1e-3) and torch.allclose(found[1], expected, atol=1e-3)
    assert found[0].max() > -1 and found[0].min() == pytest.approx(-6, abs=0.01)


def test_silence_is_the_floor_and_twice_the_sound_four_times_the_power() -> None:
    model, noise = audio(), 0.1 * torch.randn(400)
    assert torch.equal(model.features(torch.zeros(3, 400)), torch.full((3, 32), -6.0))
    assert torch.allclose(model.features(2 * noise) - model.features(noise), torch.tensor(math.log10(4)), atol=1e-2)


def test_windows_tell_early_from_late() -> None:
    click = torch.zeros(2, 400)
    click[0, 100], click[1, 300] = 1, 1
    early, late = audio().features(click).unflatten(-1, (2, 16)).mean(-1)
    assert early[0] > early[1] and late[1] > late[0]


def test_mel_bands_cover_the_scale_without_a_gap() -> None:
    filters = mel_filters(16)
    assert filters.shape == (129, 16) and (filters.sum(0) > 0.5).all() and filters.max() <= 1
    centres = (filters * torch.arange(129.0)[:, None]).sum(0) / filters.sum(0) * AUDIO_HZ / LONG
    assert (centres.diff() > 0).all() and 90 < centres[0] < 200 and 3000 < centres[-1] < 3900
    assert (filters[5:115].sum(1) > 0.9).all(), "neighbouring triangles add up to one"


def test_past_and_future_share_one_clock() -> None:
    model = audio()
    device = torch.device("cpu")
    assert model.before(device)[:, 0].tolist() == pytest.approx([k / 20 for k in range(-7, 1)])
    assert model.when(None, 20.0, device)[:, 0].tolist() == pytest.approx([k / 20 for k in range(1, 17)])
    assert model.shape(3, 2) == (3, 16, 32)


def test_tokens_of_past_and_future() -> None:
    model, heard = audio(), torch.rand(2, 8, 400) - 0.5
    assert model.observed(heard).shape == (2, 8, 32)
    clip = Clip(*[None] * 6, more_future={AUDIO: torch.zeros(2, 16, 400), f"{AUDIO}.valid": torch.ones(2, 16) > 0})
    values = model.truth(clip, wanted=True)
    assert values.shape == (2, 16, 32) and model.valid(clip).all()
    assert model.read(model.tokens(values)).abs().max() == 0, "the head begins at zero"
    with pytest.raises(ValueError, match=r"shape \(4, 400\) per observation, expected \(8, 400\)"):
        model.observed(heard[:, :4])


def test_ranges_make_loudness_about_one() -> None:
    model, random = audio(), np.random.default_rng(0)
    samples = (
        torch.as_tensor(random.normal(size=(500, 400)), dtype=torch.float32) * torch.logspace(-4, -0.5, 500)[:, None]
    )
    model.scaling.fit(model.features(samples))
    values = model.encode(samples)
    assert values.abs().max() < 1.5
    assert torch.allclose(model.decode(values).flatten(-2), model.features(samples), atol=1e-4)


def test_sizes_out_of_range_are_named() -> None:
    with pytest.raises(ValueError, match=r"audio.bands=64: expected 2 to 24"):
        AudioConfig(bands=64)
