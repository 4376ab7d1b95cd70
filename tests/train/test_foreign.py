"""Training and scoring on a LeRobot data set as it lies there, without conversion."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from recordings import TASKS, need_lerobot, write_lerobot
from small import small_model, small_store

need_lerobot()

from worldmodel import checkpoint  # noqa: E402
from worldmodel.backbone import BackboneConfig  # noqa: E402
from worldmodel.config import UserError  # noqa: E402
from worldmodel.data.source import fit, open_sources  # noqa: E402
from worldmodel.imagine.score.command import ScoreConfig, measure, score  # noqa: E402
from worldmodel.train import TrainConfig, train  # noqa: E402
from worldmodel.train.config import LogConfig, ModesConfig, ValidationConfig  # noqa: E402

pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]


@pytest.mark.parametrize("kind", ["image", "video"])
def test_a_model_learns_from_a_data_set_and_is_scored_on_it(tmp_path: Path, kind: str) -> None:
    write_lerobot(tmp_path / "theirs", kind, 10)
    config = TrainConfig(
        data=f"lerobot:{tmp_path / 'theirs'}",
        out=str(tmp_path / "run"),
        steps=2,
        batch=4,
        size=32,
        holdout=0.4,
        cache_in_memory=kind == "video",
        compile=False,
        save_every=2,
        backbone=BackboneConfig(width=32, depth=2, heads=2),
        modes=ModesConfig(policy=0.5, joint=0, forward=0.5, inverse=0, video=0),
        log=LogConfig(every=1),
        validation=ValidationConfig(every=0),
    )
    train(config)
    shape = checkpoint.load(config.out).config
    assert (shape.cameras, shape.size, shape.control_hz) == (("image", "wrist"), 32, 10.0)
    assert (shape.action_dim, shape.state_dim, shape.relative, shape.tasks) == (2, 3, 2, TASKS)
    asked = ScoreConfig(data=config.data, checkpoint=config.out, out=str(tmp_path), windows=8, batch=4, holdout=0.4)
    assert score(asked) == 0
    found = json.loads((tmp_path / "score.json").read_text())
    assert found["windows"] == 8 and found["actions"]["error"] > 0 and len(found["actions"]["each"]) == 2
    assert found["frames"][0]["steps_ahead"] == 2 and found["frames"][0]["copy_last_frame"]["psnr"] > 20
    with pytest.raises(ValueError, match=r"frames of .* are image 64x96, wrist 64x96: .*; add size=64 to crop"):
        train(replace(config, size=0, out=str(tmp_path / "other")))
    with pytest.raises(ValueError, match="use another out="):
        train(replace(config, size=48))


def test_what_does_not_fit_the_checkpoint_is_said(tmp_path: Path) -> None:
    write_lerobot(tmp_path / "theirs", "image", 10)
    with pytest.raises(UserError, match="was recorded at 10 Hz, the checkpoint acts at 20 Hz"):
        measure(small_model(), ScoreConfig(data=f"lerobot:{tmp_path / 'theirs'}"))


def test_data_that_nobody_can_learn_from_is_refused(tmp_path: Path) -> None:
    one, other = (small_store(tmp_path / name) for name in ("one", "other"))
    other.meta["provenance"]["rate"] = 10
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("worldmodel.data.source.open_source", lambda name, size: {"one": one, "other": other}[name])
        with pytest.raises(ValueError, match=r"at 10 Hz, .* at 20 Hz: train on data of one control rate"):
            open_sources("one,other")
        other.meta["provenance"] |= {"rate": 20, "relative": 0}
        with pytest.raises(ValueError, match=r"other: 0 dimensions of an action are targets .*one 3: train on data of"):
            open_sources("one,other")
        other.keys = tuple(key for key in other.keys if key != "action")
        with pytest.raises(ValueError, match=r"has no 'action', which a model needs; it has action.executed"):
            open_sources("other")


def test_frames_are_cropped_to_their_middle_and_resized() -> None:
    frames = np.zeros((2, 60, 100, 3), np.uint8)
    frames[:, :, 20:80] = 200
    assert (fit(frames, 30) == 200).all(), "the middle square, nothing of its sides"
    assert fit(frames, 30).shape == (2, 30, 30, 3)
    square = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    assert fit(square, 32) is square
    checks = np.indices((64, 64)).sum(0)[None, :, :, None].repeat(3, -1) % 2 * 200
    assert np.ptp(fit(checks.astype(np.uint8), 32)) < 40, "pixels are averaged, not dropped"
