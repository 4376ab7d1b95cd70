"""Checkpoints: what is saved comes back, and what is damaged says so in one line."""

import json
from pathlib import Path

import pytest
import torch
from small import small_given, small_model

from worldmodel import checkpoint
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
    del card["provenance"]
    old = {"steps": 3, "train": {"optimiser": {"rate": 0.1}}, "init": {"sha256": "f", "made": {"steps": 1}}}
    (folder / "model.json").write_text(json.dumps(card | {"made": old}))
    found = checkpoint.card(folder)
    assert "made" not in found and found["provenance"]["train"] == {"optimiser": {"lr": 0.1}}
    assert found["provenance"]["init"] == {"sha256": "f", "provenance": {"steps": 1}}
    assert checkpoint.load(folder) is not None
