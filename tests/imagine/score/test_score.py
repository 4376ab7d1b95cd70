"""The scorecard on models whose figures follow from what they are, on a real small one, and on data that misfit."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import CONFIG, small_model, small_store
from torch import Tensor

from worldmodel import checkpoint
from worldmodel.config import UserError
from worldmodel.data.clips import Clips, ClipSpec
from worldmodel.imagine.modes import autoregressive, open_clips
from worldmodel.imagine.score.command import ScoreConfig, measure, score
from worldmodel.imagine.score.evaluator import Evaluator
from worldmodel.model import Given, Prediction, Want, WorldModel
from worldmodel.schema import STATE
from worldmodel.train.config import ModesConfig

LENGTHS = (48, 30, 20)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stores of tiny episodes, and models that fit them."""
    root = tmp_path_factory.mktemp("score")
    small_store(root / "data", LENGTHS, parts=True)
    small_store(root / "plain", LENGTHS)
    small_store(root / "slow", rate=10)
    modes = ModesConfig(policy=1, joint=0, forward=1, inverse=1, video=1)
    checkpoint.save(small_model(), root / "model", {"train": {"modes": asdict(modes)}})
    poor = replace(modes, forward=0, video=0, inverse=0)
    checkpoint.save(small_model(), root / "poor", {"train": {"modes": asdict(poor)}})
    return root


def asked(ground: Path, data: str = "data", **changes: Any) -> ScoreConfig:
    values = {"windows": 24, "batch": 8, "resamples": 50, "show": 2, "threads": 1, "every": 4}
    return ScoreConfig(str(ground / data), **({"checkpoint": str(ground / "model")} | values | changes))


class Oracle(WorldModel):
    """Knows the small store by heart: frames and actions follow from the count of steps in the state."""

    def imagine(self, given: Given, at: Tensor, steps: int = 2, generator: Any = None) -> Tensor:
        count = given.state[:, 0].repeat_interleave(len(at) // len(given.state))[:, None] + at
        scene = (count % 256).to(torch.uint8)[:, :, None, None, None]
        return torch.stack([scene, 255 - scene], dim=2).expand(*at.shape, 2, 32, 32, 3)

    def predict(self, given: Given, want: Want, *more: Any, **rest: Any) -> Prediction:
        if given.frames is not None:  # two later frames, or the episode's last one again
            assert given.at is not None and given.actions is None
            assert given.at[0].tolist() in [[8, 16], *([step, step + 1] for step in range(1, 16, 2))]
            now, ends = given.state[:, :1], torch.tensor(np.cumsum(LENGTHS))
            end = ends[torch.searchsorted(ends, now.long(), right=True)]
            wanted = now + given.at
            inside = wanted < end
            assert (given.frames[..., 0, 0, 0, 0] == wanted)[inside].all()
        count = given.state[:, :1] + torch.arange(16)
        return Prediction(torch.stack([count + 1, count, 0 * count, 1 - 2 * (count % 2)], dim=-1))


class Copier(WorldModel):
    """Thinks that nothing ever moves."""

    def imagine(self, given: Given, at: Tensor, steps: int = 2, generator: Any = None) -> Tensor:
        frames = given.images.repeat_interleave(len(at) // len(given.state), 0)
        return frames[:, None].expand(-1, at.shape[1], -1, -1, -1, -1)


def test_a_perfect_model_scores_infinity_one_and_zero(ground: Path) -> None:
    found = measure(Oracle(CONFIG).eval(), asked(ground))
    assert found["frames"][-1]["steps_ahead"] == 40 and found["frames"][-1]["moments"] > 0, "three chunks, chained"
    for row in found["frames"]:
        assert row["imagined"]["psnr"] == row["imagined"]["parts_psnr"] == "inf" and row["gain"] == "inf"
        assert row["imagined"]["ssim"] == pytest.approx(1, abs=1e-3)  # flat frames, float32
        assert row["copy_last_frame"]["psnr"] == pytest.approx(20 * np.log10(255 / row["steps_ahead"]), abs=0.01)
    assert found["inverse_error"]["real"]["median"] == 0 and set(found["inverse_error"]["real"]["by_step"]) == {0}
    assert found["inverse_error"]["real"]["first_interval"] == [0, 0]
    assert found["actions"]["error"] == 0 and found["actions"]["each"] == [0, 0, 0, 0]
    assert found["actions"]["zero_motion"] > 0
    assert all(marks[0]["imagined"]["psnr"] == "inf" for marks in found["cameras"].values())


def test_copying_is_its_own_yardstick_and_blind_to_actions(ground: Path) -> None:
    found = measure(Copier(CONFIG).eval(), asked(ground))
    for row in found["frames"]:
        assert row["imagined"] == row["copy_last_frame"] == row["no_action"] and row["gain"] == 0
        # the error is the same at every pixel, so gripper and object have that of the whole
        assert row["imagined"]["parts_psnr"] == pytest.approx(row["imagined"]["psnr"], abs=1e-3)
    assert found["action_sensitivity"]["ratio"] == 1 and found["action_sensitivity"]["ratio_interval"] == [1, 1]
    assert found["action_sensitivity"]["cameras"] == {"scene": 1, "wrist": 1}


def test_a_chunk_goes_on_from_the_frame_imagined_at_the_last_ones_end(ground: Path) -> None:
    asked_of: list[Given] = []

    class Later(WorldModel):
        """Adds the time to every pixel."""

        def imagine(self, given: Given, at: Tensor, steps: int = 2, generator: Any = None) -> Tensor:
            asked_of.append(given)
            rows = len(at) // len(given.state)
            return given.images.repeat_interleave(rows, 0)[:, None] + at[:, :, None, None, None, None].to(torch.uint8)

    model = Later(CONFIG)
    clips = open_clips(CONFIG, str(ground / "data"))
    windows, ahead = np.array([3, 60]), np.array([5, 16, 20, 37])
    sampling = (1, torch.Generator())
    frames = autoregressive(model, clips, windows, ahead, True, sampling)
    first = torch.as_tensor(clips.gather(windows).images)
    assert torch.equal(frames, first[:, None] + torch.as_tensor(ahead)[None, :, None, None, None, None].to(torch.uint8))
    # recorded states where actions are given (the second window's episode ends at 78), the first one without
    assert [given.state[:, 0].tolist() for given in asked_of] == [[3, 60], [19, 76], [35, 77]]
    assert asked_of[1].actions is not None and asked_of[1].actions[0, 0, 0] == 20
    asked_of.clear()
    autoregressive(model, clips, windows, ahead, False, sampling)
    assert [given.state[:, 0].tolist() for given in asked_of] == [[3, 60]] * 3
    assert all(given.actions is None for given in asked_of)


def test_moments_in_pairs_come_back_in_order_and_an_odd_one_is_asked_twice(ground: Path) -> None:
    clips = open_clips(CONFIG, str(ground / "data"))
    clip = clips.gather(np.array([2])).map(torch.as_tensor)
    given = Given(clip.images, clip.state, clip.task, clip.executed)
    frames = Oracle(CONFIG).frames_ahead(given, [1, 4, 9], 1, torch.Generator())
    assert frames.shape[:3] == (1, 3, 2) and frames[0, :, 0, 0, 0, 0].tolist() == [3, 6, 11]


def test_the_verb_writes_a_record_and_a_page_that_stand_alone(ground: Path, tmp_path: Path, capsys: Any) -> None:
    assert score(asked(ground, out=str(tmp_path))) == 0
    said = capsys.readouterr().out
    assert "frames 0.40 s ahead" in said and "times the squared error" in said and "LPIPS was left out" in said
    found = json.loads((tmp_path / "score.json").read_text())
    assert found["windows"] == 24 and found["episodes"] == 3 and found["counts"] == {"task": {"place_can": 24}}
    row = found["frames"][0]
    low, high = row["imagined"]["psnr_interval"]
    assert low <= row["imagined"]["psnr"] <= high and row["moments"] <= 24
    assert set(row) >= {"imagined", "no_action", "copy_last_frame", "gain", "gain_interval"}
    assert np.shape(found["actions"]["by_step"]) == (16, 4) and found["groups"]["task"]["place_can"]
    assert found["inverse_error"]["unit"] != "mm", "nobody says that this store's numbers are metres"
    shown = found["shown"]["worst"]
    assert [one["psnr"] for one in shown] == sorted(one["psnr"] for one in shown), "worst first"
    assert len({one["episode"] for one in shown}) == len(shown) == 2
    text = (tmp_path / "index.html").read_text()
    assert text.count("<video") == 4 and text.index(">1. worst<") < text.index(">drawn at random<")
    assert "viewport" in text and text.count('src="') == text.count('src="data:') >= 8 and "href=" not in text
    assert (ground / "model").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"index.html", "score.json", "config.yaml"}


def test_what_a_checkpoint_was_not_trained_for_is_a_sentence(ground: Path, tmp_path: Path) -> None:
    wanted = asked(ground, "plain", out=str(tmp_path), checkpoint=str(ground / "poor"))
    assert score(wanted) == 0
    found = json.loads((tmp_path / "score.json").read_text())
    assert found["left_out"].keys() == {"lpips", "imagined", "no_action", "action_sensitivity", "inverse_error"}
    assert "not trained for the mode video (modes.video=0)" in found["left_out"]["no_action"]
    assert found["frames"][0].keys() == {"steps_ahead", "seconds", "moments", "copy_last_frame"}
    assert "action_sensitivity" not in found and any("no segmentation" in note for note in found["notes"])
    assert "parts_psnr" not in found["frames"][0]["copy_last_frame"]
    assert "modes.inverse=0" in (tmp_path / "index.html").read_text()


def test_a_model_without_eyes_is_scored_on_its_actions(ground: Path, tmp_path: Path) -> None:
    blind = WorldModel(replace(CONFIG, cameras=())).eval()
    checkpoint.save(blind, tmp_path / "blind", {})
    assert score(asked(ground, checkpoint=str(tmp_path / "blind"), out=str(tmp_path / "out"))) == 0
    found = json.loads((tmp_path / "out" / "score.json").read_text())
    assert "frames" not in found and found["actions"]["error"] > 0 and "uses no frames" in found["left_out"]["imagined"]


def test_ctrl_c_keeps_what_was_measured(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Evaluator.batch

    def tired(self: Evaluator, first: int) -> Any:
        if first >= 16:
            raise KeyboardInterrupt
        return whole(self, first)

    monkeypatch.setattr(Evaluator, "batch", tired)
    found = measure(Copier(CONFIG).eval(), asked(ground))
    assert found["windows"] == 16 and any("Interrupted: 16 of 24 windows" in note for note in found["notes"])
    monkeypatch.setattr(Evaluator, "batch", lambda self, first: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        measure(Copier(CONFIG).eval(), asked(ground))


def test_data_that_do_not_fit_are_one_line(ground: Path) -> None:
    model = small_model()
    with pytest.raises(UserError, match="was recorded at 10 Hz, the checkpoint acts at 20 Hz"):
        measure(model, asked(ground, "slow"))
    with pytest.raises(ValueError, match=r"has no array 'observation.images.front'; it has action"):
        measure(WorldModel(replace(CONFIG, cameras=("front",))), asked(ground))
    with pytest.raises(UserError, match="has actions of 4 numbers, the checkpoint 7"):
        measure(WorldModel(replace(CONFIG, action_dim=7)), asked(ground))
    with pytest.raises(UserError, match="has a state of 4 numbers, the checkpoint 6"):
        measure(WorldModel(replace(CONFIG, state_dim=6)), asked(ground))
    with pytest.raises(ValueError, match="holds task 'place_can', the model knows open_door"):
        measure(WorldModel(replace(CONFIG, tasks=("open_door",))), asked(ground))
    for change, message in (({"every": 0}, "every=0: expected"), ({"seconds": 0.0}, "seconds=0.0: expected above 0")):
        with pytest.raises(ValueError, match=message):
            asked(ground, **change)


def test_frames_of_another_size_are_resized_and_it_is_said(ground: Path) -> None:
    found = measure(Copier(replace(CONFIG, size=16)).eval(), asked(ground))
    assert any("Frames of 32x32 pixels were cropped to their middle and resized to 16" in n for n in found["notes"])
    assert "parts_psnr" not in found["frames"][0]["copy_last_frame"], "and segmentation of another size is not used"


def test_training_data_are_told_from_held_out(ground: Path, tmp_path: Path) -> None:
    clips = Clips(
        [open_clips(CONFIG, str(ground / "data")).stores[0]], ClipSpec(CONFIG.cameras, 16, CONFIG.tasks, (STATE,))
    )
    made = {"data": [{"fingerprint": clips.stores[0].fingerprint}]}
    checkpoint.save(small_model(), tmp_path / "model", made)
    found = measure(Copier(CONFIG).eval(), asked(ground, checkpoint=str(tmp_path / "model"), windows=4))
    assert "trained on this very store: nothing here is held out" in found["notes"][0]
