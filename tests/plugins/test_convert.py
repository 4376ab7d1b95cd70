"""Checkpoints to LeRobot's folders and back: the same bytes, the same actions, and one line where it cannot be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small import CONFIG, small_given, small_model

from worldmodel import checkpoint, cli
from worldmodel.policies import ModelPolicy
from worldmodel.schema import STATE, image_key

lerobot = pytest.importorskip("lerobot")
pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]
MADE = {"command": "worldmodel train", "train": {"objective": {"kind": "dual"}, "noise": {"actions": {"mean": 0.25}}}}


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder in bfloat16, like the shipped one."""
    return checkpoint.save(small_model(), tmp_path_factory.mktemp("native") / "model", MADE, torch.bfloat16)


@pytest.fixture(scope="module")
def theirs(native: Path) -> Path:
    out = native.with_name("lerobot")
    assert cli.main(["policy", "convert", str(native), f"out={out}"]) == 0
    return out


def observation(batch: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The same moment as we show it, and as LeRobot's loop does."""
    given = small_given(batch)
    frames = {image_key(name): given.images[:, number] for number, name in enumerate(CONFIG.cameras)}
    ours = {key: value.numpy() for key, value in frames.items()} | {STATE: given.state.numpy()}
    theirs: dict[str, Any] = {key: value.movedim(-1, 1).float() / 255 for key, value in frames.items()}
    return ours, theirs | {STATE: given.state, "task": ["lift_can"] * batch}


def test_there_and_back_every_byte_is_the_same(native: Path, theirs: Path, tmp_path: Path) -> None:
    assert cli.main(["policy", "convert", str(theirs), f"out={tmp_path / 'back'}"]) == 0
    for name in (checkpoint.WEIGHTS, checkpoint.CARD):
        assert (tmp_path / "back" / name).read_bytes() == (native / name).read_bytes(), name
    for name, value in load_file(native / checkpoint.WEIGHTS).items():
        other = load_file(theirs / "model.safetensors")[f"ema.{name}"]
        assert other.dtype == value.dtype and torch.equal(other, value)


def test_it_acts_the_same_in_lerobot(native: Path, theirs: Path) -> None:
    from lerobot.policies import get_policy_class, make_pre_post_processors
    from lerobot.utils.import_utils import register_third_party_plugins

    register_third_party_plugins()
    policy = get_policy_class("worldmodel").from_pretrained(theirs)
    before, after = make_pre_post_processors(policy.config, pretrained_path=str(theirs))
    assert policy.config.model == CONFIG and policy.config.objective.name == "dual", "trained further, it goes on alike"
    assert policy.config.noise.actions.mean == 0.25 and policy.config.noise.actions.std == 1.5
    ours, seen = observation(2)
    torch.manual_seed(7)
    chunk = policy.predict_action_chunk(before(seen))
    there = np.stack([after(action).numpy() for action in chunk.unbind(1)], axis=1)
    here = ModelPolicy(checkpoint.load(native), task="lift_can", seed=7).act(ours)
    np.testing.assert_array_equal(there, here)
    assert torch.equal(policy.model.actions.slot, policy.ema.actions.slot), "training goes on from the average"


def test_a_folder_of_an_older_version_still_loads(theirs: Path, tmp_path: Path) -> None:
    from lerobot.policies import get_policy_class

    shutil.copytree(theirs, tmp_path / "old")
    config = json.loads((tmp_path / "old/config.json").read_text())
    del config["model"]["modalities"]
    config["model"]["audio"] = None
    config["objective"] |= {"frames_floor": 0.05, "temperature": 0.5, "audio": 0.2}
    config["noise"]["audio"] = config["noise"]["frames"]
    (tmp_path / "old/config.json").write_text(json.dumps(config))
    old, new = (get_policy_class("worldmodel").from_pretrained(path) for path in (tmp_path / "old", theirs))
    assert (old.config.model, old.config.objective, old.config.noise) == (
        new.config.model,
        new.config.objective,
        new.config.noise,
    )


def test_weights_that_lerobot_changed_are_not_said_to_be_ours(theirs: Path, tmp_path: Path) -> None:
    from lerobot.policies import get_policy_class

    policy = get_policy_class("worldmodel").from_pretrained(theirs)
    torch.nn.init.zeros_(policy.model.actions.head.weight)
    policy.update()
    policy.save_pretrained(tmp_path / "checkpoints/last/pretrained_model")
    (tmp_path / "checkpoints/last/pretrained_model/worldmodel.json").write_bytes(
        (theirs / "worldmodel.json").read_bytes()
    )
    assert cli.main(["policy", "convert", str(tmp_path), f"out={tmp_path / 'ours'}"]) == 0
    card = json.loads((tmp_path / "ours" / checkpoint.CARD).read_text())
    assert (
        card["provenance"]["steps"] == 1 and card["provenance"]["command"] is None and "lerobot" in card["provenance"]
    )
    loaded = checkpoint.load(tmp_path / "ours")
    assert loaded.config == CONFIG and not loaded.actions.head.weight.any()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "checkpoint 'nowhere': no such folder"),
        ("lerobot:nowhere", "no config.json in it; give a pretrained folder"),
        ("other", "holds a LeRobot policy of type act; only worldmodel can become ours"),
        ("broken", "model.safetensors cannot be read"),
        ("deaf", "it has audio, for which LeRobot's envs and robots have no place"),
    ],
)
def test_what_cannot_be_converted_is_told_in_one_line(
    source: str, message: str, theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, config in (("other", {"type": "act"}), ("broken", json.loads((theirs / "config.json").read_text()))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        (tmp_path / name / "model.safetensors").write_bytes(b"not tensors")
    if source == "deaf":
        from dataclasses import replace

        from worldmodel.model import WorldModel

        checkpoint.save(WorldModel(replace(CONFIG, modalities={"audio": {}})), tmp_path / "deaf", {})
    capsys.readouterr()
    assert cli.main(["policy", "convert", source, "out=out"]) == 2
    err = capsys.readouterr().err.splitlines()[-1]
    assert message in err
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*"))


def test_an_existing_folder_is_left_alone(native: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["policy", "convert", str(native), f"out={native}"]) == 2
    assert "already exists" in capsys.readouterr().err


def test_without_the_plugin_it_says_what_to_do(
    native: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name="lerobot_policy_worldmodel")

    monkeypatch.setattr("worldmodel.policies.convert.importlib.import_module", missing)
    from worldmodel.config import UserError
    from worldmodel.policies.convert import ConvertPolicyConfig, convert

    with pytest.raises(UserError, match="needs lerobot_policy_worldmodel: run `make setup`"):
        convert(ConvertPolicyConfig(str(native), str(tmp_path / "out")))
