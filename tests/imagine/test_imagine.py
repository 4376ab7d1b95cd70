"""Every mode has a face: numbers that follow from the answer, a picture, and a refusal where it was never trained."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small import CONFIG, small_model, small_store

from worldmodel import checkpoint, legacy
from worldmodel.config import UserError
from worldmodel.data import EpisodeStore
from worldmodel.data.clips import Clips, ClipSpec
from worldmodel.flow import MODES
from worldmodel.imagine.command import imagine
from worldmodel.imagine.config import ImagineConfig
from worldmodel.imagine.modes import compare, moments, predict, read_along
from worldmodel.model import Prediction
from worldmodel.train.config import ModesConfig


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A store of tiny episodes and a model that fits it."""
    root = tmp_path_factory.mktemp("imagine")
    small_store(root / "data", lengths=(24, 30))
    shares = asdict(ModesConfig(policy=1, joint=1, forward=1, inverse=1, video=1))
    checkpoint.save(small_model(), root / "model", {"train": {"modes": shares}})
    shares["inverse"] = 0
    checkpoint.save(small_model(), root / "no_inverse", {"train": {"modes": shares}})
    return str(root / "data"), str(root / "model")


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_measured_and_drawn(mode: str, ground: tuple[str, str], tmp_path: Path) -> None:
    data, model = ground
    assert imagine(ImagineConfig(mode, data, model, str(tmp_path), windows=5, show=2, threads=1)) == 0
    found = json.loads((tmp_path / f"{mode}.json").read_text())
    assert found["windows"] == 5 and (tmp_path / f"{mode}.png").stat().st_size > 5_000
    assert ("frames" in found) == (MODES[mode].frames == "wanted")
    assert ("actions" in found) == (MODES[mode].actions == "wanted")
    assert found["weights"] == checkpoint.card(model)["sha256"] and found["steps"] == 2
    comment = Image.open(tmp_path / f"{mode}.png").text.get("Comment", "")
    assert ("Generated" in comment) == ("frames" in found), "what was imagined says so"


def test_a_mode_that_was_not_trained_is_refused(ground: tuple[str, str], tmp_path: Path) -> None:
    data, model = ground
    other = model.replace("model", "no_inverse")
    with pytest.raises(UserError, match=r"mode=inverse: .*was not trained for it.* policy, joint, forward, video"):
        imagine(ImagineConfig("inverse", data, other, str(tmp_path / "none")))
    assert not (tmp_path / "none").exists(), "nothing is written before that is known"
    with pytest.raises(ValueError, match=r"mode=forwards: no such mode; .*forward"):
        ImagineConfig("forwards", data)


def test_the_truth_has_no_error_and_the_last_frame_is_its_own_yardstick(ground: tuple[str, str]) -> None:
    data, _ = ground
    clips = Clips([EpisodeStore.open(data)], ClipSpec(CONFIG.cameras, 16, CONFIG.tasks))
    at = moments("forward", 16)
    assert at == [4, 8, 12, 16] and moments("joint", 16) == [8, 16]
    clip = clips.gather(np.arange(6), np.tile(at, (6, 1))).map(torch.as_tensor)
    found = compare(clip, Prediction(clip.action, clip.future))
    assert found["actions"]["median_error"] == [0, 0, 0, 0]
    assert all(row["imagined"] > 100 for row in found["frames"])
    copied = compare(clip, Prediction(None, clip.images[:, None].expand_as(clip.future)))
    assert all(row["imagined"] == row["copy_last_frame"] < 60 for row in copied["frames"])


def test_what_was_done_is_read_from_a_frame_after_every_step(ground: tuple[str, str]) -> None:
    clips = Clips([EpisodeStore.open(ground[0])], ClipSpec(CONFIG.cameras, 16, CONFIG.tasks))
    at = moments("inverse", 16)
    assert at == list(range(1, 17))
    windows = np.array([0, 17])  # the second has 7 steps left, and 6 frames
    clip = clips.gather(windows, np.tile(at, (2, 1)), done=True).map(torch.as_tensor)
    off = clip.action.clone()
    off[..., 0] += 0.03
    off[..., 1] += 0.04
    found = compare(clip, Prediction(off, None), relative=3)["actions"]
    assert found["steps"] == 16 + 6
    assert found["position"] == {"first_step": pytest.approx(0.05), "all": pytest.approx(0.05)}
    model, noise = small_model(), torch.Generator().manual_seed(0)
    read = read_along(model, clips, windows, noise)
    assert read.shape == (2, 16, 4)
    noise = torch.Generator().manual_seed(0)
    for step in range(7):  # seven steps are left of the second window's episode
        one = clips.gather(windows + step, np.tile([1, 2], (2, 1)), done=True).map(torch.as_tensor)
        alone = predict(model, one, "inverse", 1, noise).actions
        assert alone is not None and torch.allclose(read[:, step], alone[:, 0].float())


def test_moments_that_no_episode_reaches_are_left_out(ground: tuple[str, str]) -> None:
    clips = Clips([EpisodeStore.open(ground[0])], ClipSpec(CONFIG.cameras, 16, CONFIG.tasks))
    near_the_end = clips.gather(np.array([17, 18]), np.tile(moments("forward", 16), (2, 1))).map(torch.as_tensor)
    found = compare(near_the_end, Prediction(near_the_end.action, near_the_end.future))
    assert [row["steps_ahead"] for row in found["frames"]] == [4], "the episode has 24 steps"
    past = replace(near_the_end, valid=near_the_end.valid & False)
    assert "actions" not in compare(past, Prediction(past.action, None))


def test_pairs_are_put_back_in_order(ground: tuple[str, str]) -> None:
    """Four moments asked at once equal two questions of two, with the noise of each."""
    data, _ = ground
    model = small_model()
    clips = Clips([EpisodeStore.open(data)], ClipSpec(CONFIG.cameras, 16, CONFIG.tasks))
    clip = clips.gather(np.array([3]), np.array([[4, 8, 12, 16]])).map(torch.as_tensor)
    whole = predict(model, clip, "video", 1).frames
    assert whole is not None and whole.shape == clip.future.shape
    still = replace(clip, at=clip.at[:, [0, 1, 0, 1]])
    torch.manual_seed(0)
    noise = torch.Generator().manual_seed(4)
    frames = predict(model, still, "video", 1, noise).frames
    noise = torch.Generator().manual_seed(4)
    first = predict(model, replace(clip, at=clip.at[:, :2]), "video", 1, noise).frames
    assert frames is not None and first is not None
    assert (frames[:, :2].int() - first.int()).abs().max() <= 1


def test_old_options_of_imagine_work_and_name_the_new_ones(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(legacy, "_announced", set())  # once in a process
    old = [f"{key}={value}" for key, value in (("mode", "stream"), ("frames", 7), ("real", "a,b"))]
    assert [legacy.override("imagine", text) for text in old] == ["mode=rollout", "length=7", "references=a,b"]
    said = capsys.readouterr().err
    assert "mode=rollout" in said and "length" in said and "references" in said
