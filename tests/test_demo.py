"""The demo: every real frame has an imagined one beside it, and the page opens from disk."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from expert_policy import ExpertPolicy

from worldmodel import checkpoint
from worldmodel.backbone import BackboneConfig
from worldmodel.demo import DemoConfig, demo
from worldmodel.demo.film import Film, Surprise
from worldmodel.demo.verb import choose, show
from worldmodel.eval.candidate import Candidate
from worldmodel.eval.evaluate import settle
from worldmodel.eval.frozen import Starts, find
from worldmodel.experience import image_key
from worldmodel.model import ModelConfig, WorldModel

SCENE, WRIST = image_key("scene"), image_key("wrist")


def frames(value: int) -> dict[str, np.ndarray]:
    return {SCENE: np.full((16, 16, 3), value, np.uint8), WRIST: np.full((16, 16, 3), value, np.uint8)}


def test_surprise_is_psnr_of_pooled_errors() -> None:
    surprise = Surprise()
    surprise.add(1, frames(100), frames(110), frames(120))
    surprise.add(1, frames(100), frames(100), frames(120))
    imagined, copied = surprise.decibels()[1]
    assert imagined == pytest.approx(10 * np.log10(255**2 / 50))
    assert copied == pytest.approx(10 * np.log10(255**2 / 400))
    assert surprise.overall() == pytest.approx((imagined, copied))
    assert np.isnan(Surprise().overall()).all()


def test_a_film_puts_each_frame_above_its_imagination(tmp_path: Path) -> None:
    film = Film(("scene", "wrist"))
    film.begin(frames(10))
    imagined = {key: np.stack([np.full((16, 16, 3), 100 + k, np.uint8) for k in range(4)]) for key in (SCENE, WRIST)}
    film.chunk([frames(11), frames(12), frames(13), frames(14)], imagined)
    film.chunk([frames(15), frames(16)], imagined)
    assert [shot.ahead for shot in film.shots] == [0, 1, 2, 3, 4, 1, 2]
    assert [shot.imagined[SCENE][0, 0, 0] for shot in film.shots[1:]] == [100, 101, 102, 103, 100, 101]  # type: ignore[index]
    picture = film.picture(3)
    middle = picture.shape[1] // 4
    assert {int(v) for v in picture[60, middle]} == {13}, "real above"
    assert {int(v) for v in picture[picture.shape[0] - 60, middle]} == {102}, "imagined below"
    film.write(tmp_path / "0000")
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".jpg", ".mp4", ".png"]


def test_the_demo_of_an_expert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = DemoConfig(episodes=2, out=str(tmp_path))
    path = find("test", "place_can")
    starts = Starts.load(path)
    policy = ExpertPolicy("place_can", starts.trials(2))
    assert show(config, settle(config.exam(), Candidate(policy, "expert", "0" * 64), starts, path)) == 0
    said = capsys.readouterr().out
    assert "place_can: 2 of 2 succeeded (95 % interval 34 to 100 %)" in said
    assert "act p50" in said
    assert str(tmp_path / "index.html") in said
    found = json.loads((tmp_path / "demo.json").read_text())
    assert list(found["psnr"]) == [str(k) for k in range(1, 9)]
    assert all(value["imagined"] == value["copy_last_frame"] for value in found["psnr"].values())
    page = (tmp_path / "index.html").read_text()
    for name in ("0000.mp4", "0000.jpg", "0000.png", "0001.mp4"):
        assert f"videos/{name}" in page
        assert (tmp_path / "videos" / name).stat().st_size > 1000
    assert "http" not in page
    with av.open(str(tmp_path / "videos" / "0000.mp4")) as film:
        assert film.streams.video[0].frames == found["scenes"][0]["steps"] + 1


class Impatient(ExpertPolicy):
    """Ctrl-C in the second episode."""

    def reset(self) -> None:
        self.episodes = getattr(self, "episodes", 0) + 1
        if self.episodes == 2:
            raise KeyboardInterrupt


def test_an_interrupted_demo_shows_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = DemoConfig(episodes=3, task="lift_can", out=str(tmp_path))
    path = find("test", "lift_can")
    starts = Starts.load(path)
    candidate = Candidate(Impatient("lift_can", starts.trials(3)), "expert", "0" * 64)
    assert show(config, settle(config.exam(), candidate, starts, path)) == 130
    assert "interrupted after 1 of 3 episodes" in capsys.readouterr().out
    assert "1 of 1" in (tmp_path / "index.html").read_text()


def test_starts_are_chosen_by_seed() -> None:
    starts = Starts.load(find("test", "place_can"))
    assert [trial.index for trial in choose(starts, 3, 0)] == [0, 1, 2]
    others = [trial.index for trial in choose(starts, 3, 1)]
    assert others == [trial.index for trial in choose(starts, 3, 1)] != [0, 1, 2]


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown task 'lift_cam'"):
        demo(DemoConfig(task="lift_cam"))
    with pytest.raises(ValueError, match="checkpoint 'nowhere': no such folder"):
        demo(DemoConfig(checkpoint="nowhere"))
    with pytest.raises(ValueError, match="episodes=0: expected"):
        demo(DemoConfig(episodes=0))


def test_a_model_acts_and_imagines(tmp_path: Path) -> None:
    """Untrained weights, one real chunk: the demo's calls fit the model's policy."""
    from worldmodel.eval.candidate import open_candidate

    model = WorldModel(ModelConfig(backbone=BackboneConfig(width=48, depth=2, heads=2)))
    candidate = open_candidate(str(checkpoint.save(model, tmp_path / "model", {})), "place_can", 8, device="cpu")
    look = {SCENE: np.zeros((1, 96, 96, 3), np.uint8), WRIST: np.zeros((1, 96, 96, 3), np.uint8)}
    look["observation.state"] = np.zeros((1, 4), np.float32)
    chunk = candidate.policy.act(look, seeds=np.array([5]))  # type: ignore[call-arg]
    imagined = candidate.policy.imagine(look, chunk, list(range(1, 9)))  # type: ignore[attr-defined]
    assert chunk.shape == (1, 16, 4)
    assert imagined[WRIST].shape == (1, 8, 96, 96, 3)
    assert imagined[WRIST].dtype == np.uint8
