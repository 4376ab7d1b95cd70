"""The verb on real physics: an expert scores 100 %, noise changes nothing that it should not, bad input is one line."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from expert_policy import ExpertPolicy

from worldmodel import checkpoint
from worldmodel.backbone import BackboneConfig
from worldmodel.config import UserError
from worldmodel.evaluate.config import EvaluateConfig
from worldmodel.evaluate.evaluate import evaluate, run, settle
from worldmodel.evaluate.initial_states import Starts, find
from worldmodel.model import ModelConfig, WorldModel
from worldmodel.policies.load import LoadedPolicy, PolicyOptions, load_policy


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of untrained weights."""
    path = tmp_path_factory.mktemp("tiny") / "model"
    model = WorldModel(ModelConfig(backbone=BackboneConfig(width=48, depth=2, heads=2)))
    return checkpoint.save(model, path, {"note": "untrained"})


@pytest.mark.parametrize("task", ["lift_can", "place_can"])
def test_the_expert_passes(task: str, tmp_path: Path) -> None:
    path = find("validation", task)
    starts = Starts.load(path)
    config = EvaluateConfig(out=str(tmp_path), task=task, episodes=3, batch=3, workers=1, videos=1)
    policy = ExpertPolicy(task, starts.first(3))
    assert run(settle(config, LoadedPolicy(policy, "expert", "0" * 64), starts, path)) == 0
    found = json.loads((tmp_path / "report.json").read_text())
    assert (found["successes"], found["episodes"]) == (3, 3)
    assert found["fingerprint"]["gl"]
    assert found["steps_per_second"] > 0
    lines = [json.loads(line) for line in (tmp_path / "episodes.jsonl").read_text().splitlines()]
    assert all(line["raised"] > 0.1 and line["closest"] < 0.045 for line in lines)
    with av.open(str(tmp_path / "videos" / "0000.mp4")) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.frames == next(line for line in lines if line["episode"] == 0)["steps"] + 1


def test_a_model_is_evaluated_and_batching_does_not_matter(tiny: Path, tmp_path: Path) -> None:
    outcomes = []
    for workers in (1, 2):
        config = EvaluateConfig(
            out=str(tmp_path / str(workers)), checkpoint=str(tiny), episodes=2, batch=2, workers=workers, videos=0
        )
        path = find("validation", "place_can")
        starts, loaded = Starts.load(path), load_policy(str(tiny), "place_can", PolicyOptions(8, 1, "cpu"))
        assert run(settle(config, loaded, starts, path)) == 0
        outcomes.append([np.load(tmp_path / str(workers) / "actions" / f"{i:04d}.npy") for i in range(2)])
    for first, second in zip(*outcomes, strict=True):
        np.testing.assert_array_equal(first, second)
    found = json.loads((tmp_path / "1" / "report.json").read_text())
    assert found["fingerprint"]["weights"] == checkpoint.card(tiny)["sha256"]
    assert found["act_ms"]["p50"] > 0


def refused(expected: str, **options: object) -> None:
    with pytest.raises((UserError, ValueError, OSError), match=expected) as told:
        evaluate(EvaluateConfig(**{"out": "unused", "episodes": 2, **options}))  # type: ignore[arg-type]
    assert "\n" not in str(told.value)
    assert not Path("unused").exists()


def test_bad_input_is_told_in_one_line(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = find("test", "place_can")
    (tmp_path / "broken.npz").write_bytes(shipped.read_bytes()[:5000])
    known = {"checkpoint": str(tiny)}
    refused("unknown task 'place_cam'.*did you mean 'place_can'", task="place_cam")
    refused("unknown perturbation 'lights'.*did you mean 'light'", perturb="lights")
    refused("no starts file nowhere", starts="nowhere")
    refused("is damaged or none at all", starts="broken.npz")
    refused("is for task 'place_can', expected 'lift_can'", starts=str(shipped), task="lift_can", **known)
    refused("checkpoint 'nowhere': no such folder", checkpoint="nowhere")
    refused("sees 96 pixels; leave size out", size=64, **known)
    refused("episodes=900: starts file", episodes=900, **known)
    refused("n_action_steps=17: .* gives 16 actions at a time", n_action_steps=17, **known)
    refused("device=cdua: no such device; did you mean 'cuda'", device="cdua", **known)
    for options in ({"batch": 0}, {"steps": 0}, {"timeout": 0.0}, {"episodes": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(options))}=0"):
            EvaluateConfig(out="unused", **options)  # type: ignore[arg-type]


def test_an_untrained_task_is_refused(tmp_path: Path) -> None:
    model = WorldModel(ModelConfig(backbone=BackboneConfig(width=48, depth=2, heads=2), tasks=("place_can",)))
    path = checkpoint.save(model, tmp_path / "model", {})
    with pytest.raises(UserError, match="was trained for place_can"):
        load_policy(str(path), "lift_can", PolicyOptions(8))


def test_what_never_learned_to_act_is_refused(tmp_path: Path) -> None:
    model = WorldModel(ModelConfig(backbone=BackboneConfig(width=48, depth=2, heads=2), tasks=("place_can",)))
    made = {"train": {"modes": {"policy": 0.0, "forward": 0.7, "video": 0.3}}}
    path = str(checkpoint.save(model, tmp_path / "model", made))
    with pytest.raises(UserError, match=r"not trained to act \(modes\.policy=0\); it was for: forward, video"):
        load_policy(path, "place_can", PolicyOptions(8))
    assert load_policy(path, "place_can", PolicyOptions(8, must_act=False)).action_dim == 4


def test_starts_of_another_mujoco_are_allowed_and_told(tiny: Path, tmp_path: Path) -> None:
    path = find("validation", "place_can")
    frozen = Starts.load(path)
    older = Starts(frozen.task, frozen.states, frozen.seeds, {**frozen.fingerprint, "mujoco": "3.5.0"})
    loaded = load_policy(str(tiny), "place_can", PolicyOptions(8))
    this = settle(EvaluateConfig(out=str(tmp_path), episodes=2), loaded, older, path)
    assert "frozen under MuJoCo 3.5.0" in this.notes[0]
