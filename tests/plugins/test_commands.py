"""The bar: `lerobot-train` and `lerobot-eval`, as anyone would call them, with our policy on our env."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import pytest

from worldmodel import checkpoint
from worldmodel.data.source import open_source
from worldmodel.report.video import BAR

pytest.importorskip("lerobot")
pytestmark = [pytest.mark.timeout(1200), pytest.mark.slow]


def run(module: str, *options: str, cwd: Path) -> str:
    """One of LeRobot's commands in a process of its own, from a folder that knows nothing of this repository."""
    command = [sys.executable, "-m", f"lerobot.scripts.{module}", *(f"--{option}" for option in options)]
    quiet = os.environ | {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"}
    done = subprocess.run(command, cwd=cwd, env=quiet, capture_output=True, text=True, timeout=900)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told[-4000:]
    return told


def test_train_then_eval(dataset: Path, tmp_path: Path) -> None:
    size = ("model.backbone.width=32", "model.backbone.depth=2", "model.backbone.heads=2", "moments=[4,12]")
    told = run(
        "lerobot_train", "policy.type=worldmodel", "policy.device=cpu", "policy.push_to_hub=false",
        *(f"policy.{option}" for option in size), "dataset.repo_id=local/lift", f"dataset.root={dataset}",
        "batch_size=4", "num_workers=0", "steps=50", "log_freq=25", "output_dir=out", cwd=tmp_path,
    )  # fmt: skip
    assert "policy_actions" in told and "End of training" in told
    folder = tmp_path / "out/checkpoints/last/pretrained_model"
    config = json.loads((folder / "config.json").read_text())
    assert config["type"] == "worldmodel" and config["model"]["tasks"] == ["place_can", "lift_can"]
    assert set(config["output_features"]) == {"action"}
    assert (folder / "policy_preprocessor.json").is_file() and (folder / "policy_postprocessor.json").is_file()

    run(
        "lerobot_eval", f"policy.path={folder}", "policy.device=cpu", "policy.save_predicted_video=true",
        "env.type=worldmodel", "env.task=lift_can", "env.size=48", "eval.n_episodes=2", "eval.batch_size=2",
        "eval.use_async_envs=false", "output_dir=eval", cwd=tmp_path,
    )  # fmt: skip
    found = json.loads((tmp_path / "eval/eval_info.json").read_text())["overall"]
    assert found["n_episodes"] == 2 and 0 <= found["pc_success"] <= 100
    films = [*found["video_paths"], *found["predicted_video_paths"]]
    assert len(films) == 3 and all((tmp_path / film).stat().st_size > 1000 for film in films)
    with av.open(str(tmp_path / films[2])) as film:
        assert film.streams.video[0].height == 48 + BAR, "a line under the frames says that they were imagined"

    from worldmodel.policies.convert import ConvertPolicyConfig, convert

    assert convert(ConvertPolicyConfig(str(tmp_path / "out"), str(tmp_path / "ours"))) == 0
    model, card = checkpoint.load(tmp_path / "ours"), checkpoint.card(tmp_path / "ours")
    assert model.config.size == 48 and (card["provenance"]["command"], card["provenance"]["steps"]) == (
        "lerobot-train",
        50,
    )
    [data] = card["provenance"]["data"]
    assert data["fingerprint"] == open_source(f"lerobot:{dataset}").fingerprint, "lineage knows what it learned from"
    assert data["card"]["licence"]["value"] == "Apache-2.0"
