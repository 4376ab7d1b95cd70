"""Checkpoints: what is saved comes back, and what is damaged says so in one line."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from small import small_given, small_model

from worldmodel import checkpoint, model_card
from worldmodel.checkpoint import CheckpointError


def test_a_model_comes_back_as_it_was(tmp_path: Path) -> None:
    model = small_model(projector=True)
    model.actions.scaling.low.fill_(-3.3)
    checkpoint.save(model, tmp_path / "run" / "model", {"steps": 7})
    for name in (tmp_path / "run", tmp_path / "run" / "model"):
        back = checkpoint.load(name)
        assert back.config == model.config and back.projector is None and not back.training
        start = torch.zeros(2, 16, 4)
        assert torch.equal(back.act(small_given(), 2, start), model.act(small_given(), 2, start))
    assert checkpoint.card(tmp_path / "run")["provenance"] == {"steps": 7}


def test_bfloat16_halves_the_file_and_keeps_the_ranges(tmp_path: Path) -> None:
    model = small_model()
    model.actions.scaling.low.fill_(-3.3)
    whole = checkpoint.save(model, tmp_path / "a", {})
    half = checkpoint.save(model, tmp_path / "b", {}, torch.bfloat16)
    size = [(folder / checkpoint.WEIGHTS).stat().st_size for folder in (whole, half)]
    assert size[1] < 0.6 * size[0]
    assert torch.equal(checkpoint.load(half).actions.scaling.low, model.actions.scaling.low)


def test_every_damage_is_told_in_one_line(tmp_path: Path) -> None:
    folder = checkpoint.save(small_model(), tmp_path / "model", {})
    weights, card = folder / checkpoint.WEIGHTS, folder / checkpoint.CARD
    good_weights, good_card = weights.read_bytes(), card.read_text()

    def complaint() -> str:
        with pytest.raises(CheckpointError) as caught:
            checkpoint.load(tmp_path / "model")
        weights.write_bytes(good_weights)
        card.write_text(good_card)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    flipped = bytearray(good_weights)
    flipped[len(flipped) // 2] ^= 1
    weights.write_bytes(flipped)
    assert "model.safetensors is damaged" in complaint()
    weights.write_bytes(good_weights[:-10])
    assert "is damaged" in complaint()
    card.write_text("{")
    assert "model.json is not JSON" in complaint()
    card.write_text(json.dumps(json.loads(good_card) | {"format": 99}))
    assert "format 99, this version reads 1" in complaint()
    weights.unlink()
    assert "model.safetensors is missing" in complaint()


def test_a_missing_checkpoint_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        checkpoint.load(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match=r"no model\.json in it"):
        checkpoint.resolve(tmp_path)


def test_a_full_disk_leaves_the_earlier_save_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkpoint.save(small_model(), tmp_path / "model", {"steps": 1})

    def full(tensors: object, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match=r"No space left on device.*earlier saves are whole"):
        checkpoint.save(small_model(), folder, {"steps": 2})
    assert checkpoint.card(folder)["provenance"] == {"steps": 1} and checkpoint.load(folder) is not None
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_cards_of_older_versions_are_read_under_todays_keys(tmp_path: Path) -> None:
    folder = checkpoint.save(small_model(), tmp_path / "model", {})
    card = json.loads((folder / "model.json").read_text())
    del card["provenance"], card["card_sha256"]  # they had none
    old = {"steps": 3, "train": {"optimiser": {"rate": 0.1}}, "init": {"sha256": "f", "made": {"steps": 1}}}
    (folder / "model.json").write_text(json.dumps(card | {"made": old}))
    found = checkpoint.card(folder)
    assert "made" not in found and found["provenance"]["train"] == {"optimiser": {"lr": 0.1}}
    assert found["provenance"]["init"] == {"sha256": "f", "provenance": {"steps": 1}}
    assert checkpoint.load(folder) is not None


def change(card: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of the card with another value at a dotted path."""
    whole = json.loads(json.dumps(card))
    *sections, last = path.split(".")
    inside = whole
    for section in sections:
        inside = inside[section]
    inside[last] = value
    return dict(whole)


BAD: dict[str, tuple[Any, ...]] = {
    "config.size": (-32, 0, 10**9, "32", None, 33, 31.5, [32], 2**62, True),
    "config.patch": (0, -16, 10**9, None, "a", 3),
    "config.action_dim": (0, -1, 10**12, None, "4", 3),
    "config.state_dim": (0, 10**12, None),
    "config.cameras": ([], ["a"] * 1000, "scene", None, [None], ["../../etc/passwd"], ["scene", "scene"], {"a": 1}),
    "config.tasks": ([], [None], ["lift_can"] * 2, "lift_can", None, ["x" * 10**6], 5),
    "config.control_hz": (0, -20, None, "x", 1e308, float("inf"), float("nan"), 10**400),
    "config.backbone": (None, [], 5),
    "config.backbone.width": (0, -128, 10**9, None, "128", 2**40),
    "config.backbone.depth": (0, -1, None, 1.5, 10**6, 200),
    "config.backbone.heads": (0, -4, 10**9, None, 3),
    "config.backbone.evil": (1,),
    "config.evil": (1,),
    "config.states": ([], None, 5),
    "config.sampler": ("x", None, 5, [1]),
    "config.prefix": (-1, 10**9, None, "a"),
    "config.window": (-1, 10**9, None, "a", 1),
    "config.memory": ([-1], "a", 5),
    "config.chunk_size": (0, -1, 10**9, None),
    "config.modalities": (5, {"audio": {"bands": 10**9}}, {"evil": True}, []),
    "config.words": (["a"], None, [1], "abc"),
    "config.relative": (-1, None),
    "config.shift": (0, -1, None, "x", float("inf")),
    "config": (None, [], 5),
    "format": (2, "1", None),
    "evil": (1,),
}


@pytest.mark.parametrize("path", BAD)
def test_a_config_from_a_stranger_is_refused_in_one_line(tmp_path: Path, path: str) -> None:
    """Whatever its hash: types and bounds are looked at before anything is allocated."""
    folder = checkpoint.save(small_model(), tmp_path / "model", {})
    card = json.loads((folder / "model.json").read_text())
    for value in BAD[path]:
        crafted = change(card, path, value)
        (folder / "model.json").write_text(json.dumps(crafted | {"card_sha256": model_card.sum_of(crafted)}))
        with pytest.raises(CheckpointError) as caught:
            checkpoint.load(folder)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 600, value


def test_one_flipped_bit_of_a_card_is_found(tmp_path: Path) -> None:
    folder = checkpoint.save(small_model(), tmp_path / "model", {"train": {"modes": {"policy": 1.0}}})
    good = (folder / "model.json").read_bytes()
    for place in range(0, len(good), 7):
        flipped = bytearray(good)
        flipped[place] ^= 1 << place % 8
        (folder / "model.json").write_bytes(flipped)
        with pytest.raises(CheckpointError, match=r"model\.json|format"):
            checkpoint.load(folder)


@pytest.mark.parametrize("text", ["[]", "null", "3", '"x"', "[" * 10**5 + "]" * 10**5, '{"a":' * 10**5, "\ufffe"])
def test_what_is_no_card_is_one_line(tmp_path: Path, text: str) -> None:
    folder = checkpoint.save(small_model(), tmp_path / "model", {})
    (folder / "model.json").write_text(text)
    for read in (checkpoint.load, checkpoint.card, checkpoint.trained_modes):
        with pytest.raises(CheckpointError) as caught:
            read(folder)
        assert "\n" not in str(caught.value)


def test_a_card_without_a_hash_is_an_older_versions(tmp_path: Path) -> None:
    folder = checkpoint.save(small_model(), tmp_path / "model", {})
    card = json.loads((folder / "model.json").read_text())
    del card["card_sha256"]
    (folder / "model.json").write_text(json.dumps(card))
    assert checkpoint.load(folder) is not None
