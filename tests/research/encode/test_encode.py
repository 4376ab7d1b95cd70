"""Frozen encoders: loaded, read on the model's grid, written beside the data, and imitated by the REPA objective."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small import small_store
from torch import nn
from torch.nn import functional as F

from research.encode import EncodeConfig, encode
from research.encode.config import ENCODERS
from research.encode.encoder import Encoder
from research.encode.encoders import digest_of, load_network
from worldmodel import checkpoint
from worldmodel.backbone import BackboneConfig
from worldmodel.cli import main
from worldmodel.config import UserError
from worldmodel.data import EpisodeStore, StoreError, verify
from worldmodel.data.clips import Clips, ClipSpec
from worldmodel.data.features import channels_of, open_features, recipe_of
from worldmodel.data.layout import feature_key
from worldmodel.data.source import open_source
from worldmodel.objectives import ObjectiveConfig
from worldmodel.schema import image_key
from worldmodel.train import TrainConfig, train
from worldmodel.train.config import LogConfig, ModesConfig, ValidationConfig
from worldmodel.train.state import saved

RANDOM = [name for name, source in ENCODERS.items() if source.random]


@pytest.fixture
def data(tmp_path: Path) -> EpisodeStore:
    return small_store(tmp_path / "data")


@pytest.fixture
def config(data: EpisodeStore, tmp_path: Path) -> EncodeConfig:
    return EncodeConfig(data=str(data.path), out=str(tmp_path / "features"), encoder="tiny_random", batch=8)


@pytest.fixture
def run(config: EncodeConfig, tmp_path: Path) -> TrainConfig:
    """Two steps in the mode that has frames, and nothing else."""
    return TrainConfig(
        data=config.data,
        out=str(tmp_path / "run"),
        features=config.out,
        steps=4,
        batch=4,
        holdout=0.5,
        compile=False,
        save_every=2,
        backbone=BackboneConfig(width=32, depth=2, heads=2),
        objective=ObjectiveConfig(name="repa"),
        modes=ModesConfig(policy=0.3, joint=0.3, forward=0.4, inverse=0, video=0),
        log=LogConfig(every=1),
        validation=ValidationConfig(every=0),
    )


class Colours(nn.Module):
    """Stands in for a network: a token's features are the mean colour of its patch; two other tokens come first."""

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.patch = patch

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        cells = F.avg_pool2d(images, self.patch).flatten(2).transpose(1, 2)
        return torch.cat([torch.full_like(cells[:, :2], 99.0), cells], dim=1)


@pytest.mark.parametrize("detail", [1, 2, 3])
def test_a_feature_lies_where_its_patch_of_the_frame_does(detail: int) -> None:
    encoder = Encoder("tiny_random_dinov3", grid=3, detail=detail)
    encoder.network, encoder.prefix = Colours(16), 2
    rows, columns = np.meshgrid(np.arange(48), np.arange(48), indexing="ij")
    frames = np.stack([rows * 4, columns * 4, np.full_like(rows, 80)], axis=-1).astype(np.uint8)[None]
    found = encoder(np.concatenate([frames, frames // 2]))
    assert found.shape == (2, 9, 3) and found.dtype == np.float16
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # both DINOs' own
    cells = frames.reshape(3, 16, 3, 16, 3).mean((1, 3)).reshape(9, 3)
    np.testing.assert_allclose(found[0], (cells / 255 - mean) / std, atol=0.02)
    np.testing.assert_allclose(found[1], (cells / 510 - mean) / std, atol=0.02)


@pytest.mark.parametrize("name", RANDOM)
def test_random_encoders_are_the_same_at_every_load_and_leave_other_randomness_alone(name: str) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, second = Encoder(name, grid=2), Encoder(name, grid=2)
    assert torch.equal(torch.rand(3), expected)
    frames = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    features = first(frames)
    assert features.shape == (3, 4, first.channels) and features.std(axis=0).min() > 0
    assert first.digest == second.digest and np.array_equal(features, second(frames))
    assert not any(p.requires_grad for p in first.network.parameters()) and not first.network.training


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_come_from_a_file(name: str, suffix: str, tmp_path: Path) -> None:
    patch, file = ENCODERS[name].patch, tmp_path / f"weights{suffix}"
    trained = load_network(name, 8 * patch)
    for parameter in trained.parameters():
        parameter.data += 0.1
    tensors = {key: value.clone() for key, value in trained.state_dict().items()}
    save_file(tensors, file) if suffix == ".safetensors" else torch.save(tensors, file)
    assert (
        digest_of(load_network(name, 8 * patch, str(file)))
        == digest_of(trained)
        != digest_of(load_network(name, 8 * patch))
    )
    smaller = load_network(name, 4 * patch, str(file))  # its position embedding is resampled
    assert smaller.forward_features(torch.zeros(1, 3, 4 * patch, 4 * patch)).shape[1] == 16 + smaller.num_prefix_tokens


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "encoder=dinov2_s",
            "could not fetch the weights of vit_small_patch14_dinov2.lvd142m through timm, with HF",
        ),
        ("encoder=dinov3_s", "give weights=FILE (a local .safetensors or .pth), or encoder=tiny_random"),
        ("encoder=dinov2", "encoder=dinov2: no such encoder; did you mean 'dinov2_"),
        (
            "weights=nowhere.pth",
            "weights=nowhere.pth: no such file; expected a .safetensors or .pth file for",
        ),
        ("weights=WRONG", "do not fit vit_small_patch14_dinov2.lvd142m"),
        ("weights=PICKLE", "do not fit vit_small_patch14_dinov2.lvd142m"),
        ("patch=12", "scene 32x32, wrist 32x32: a model wants squares of one size, a multiple of patch=12"),
        ("detail=0", "detail=0: expected at least 1"),
        ("dtype=int8", "dtype=int8: expected float32 or bfloat16"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    words: str, message: str, config: EncodeConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "WRONG")
    torch.save({"a": Path("x")}, tmp_path / "PICKLE")  # anything but tensors is refused
    words = words.replace("WRONG", str(tmp_path / "WRONG")).replace("PICKLE", str(tmp_path / "PICKLE"))
    given = [f"data={config.data}", f"out={config.out}", "encoder=tiny_random"]
    assert main(["encode", *(word for word in given if word.split("=")[0] != words.split("=")[0]), words]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert not Path(config.out).exists()


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match=r"pip install 'worldmodel\[repa\]'"):
        load_network("tiny_random", 28)


def test_encode_writes_a_store_beside_the_data(
    config: EncodeConfig, data: EpisodeStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert encode(config) == 0
    assert "objective.name=repa features=" in capsys.readouterr().out
    features = EpisodeStore.open(config.out)
    assert features.keys == ("features.scene", "features.wrist") and features.ends.tolist() == data.ends.tolist()
    encoder = Encoder("tiny_random", grid=2)
    assert channels_of(features) == encoder.channels and features.dtype("features.wrist") == np.float16
    expected = encoder(data.array(image_key("wrist")).take([0, 21, 32]))
    found = features.array(feature_key("wrist")).take([0, 21, 32])
    np.testing.assert_allclose(found, expected, atol=2e-3)
    recipe, provenance = recipe_of(features), features.meta["provenance"]
    assert recipe["data"] == data.fingerprint and recipe["weights"] == encoder.digest and recipe["grid"] == 2
    assert provenance["licence"] == "Apache-2.0" and provenance["encoder_licence"] == "none: random"
    assert not verify(config.out)
    assert encode(config) == 0 and "nothing to do" in capsys.readouterr().out
    for change in (replace(config, encoder="tiny_random_dinov3"), replace(config, detail=1)):
        with pytest.raises(UserError, match=r"was made with .*choose another out="):
            encode(change)


def test_an_interrupted_encoding_goes_on(
    config: EncodeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert encode(replace(config, out=str(tmp_path / "whole"))) == 0
    calls, real = [], Encoder.__call__

    def interrupted(self: Encoder, frames: np.ndarray) -> np.ndarray:
        calls.append(1)
        if len(calls) == 8:  # within the second episode
            raise KeyboardInterrupt
        return real(self, frames)

    monkeypatch.setattr(Encoder, "__call__", interrupted)
    assert encode(config) == 130
    assert "1 of 2 episodes are kept" in capsys.readouterr().out
    with pytest.raises(UserError, match="was made with detail=2, not 1"):
        encode(replace(config, detail=1))
    assert encode(config) == 0 and len(calls) == 8 + 4
    assert EpisodeStore.open(config.out).fingerprint == EpisodeStore.open(tmp_path / "whole").fingerprint


def test_clips_bring_the_features_of_their_own_later_frames(config: EncodeConfig, tmp_path: Path) -> None:
    other = small_store(tmp_path / "other", lengths=(9, 30))
    encode(config)
    encode(replace(config, data=str(other.path), out=str(tmp_path / "more")))
    stores = [EpisodeStore.open(config.data), other]
    features = open_features(f"{tmp_path / 'more'},{config.out}", stores, ("scene", "wrist"), grid=2)  # any order
    spec = ClipSpec(("scene", "wrist"), 4, ("place_can",))
    clips = Clips(stores, spec, features=features)
    windows, at = np.array([0, 30, 33, 70, 71]), np.array([[1, 4]] * 5)
    clip = clips.gather(windows, at)
    assert clip.features.shape == (5, 2, 2, 4, channels_of(features[0])) and clip.features.dtype == np.float16
    encoder = Encoder("tiny_random", grid=2)
    expected = encoder(clip.future.reshape(-1, 32, 32, 3)).reshape(clip.features.shape)
    np.testing.assert_allclose(clip.features, expected, atol=2e-3)
    assert clips.gather(windows).features is None and Clips(stores, spec).gather(windows, at).features is None


def test_features_that_do_not_fit_are_refused(config: EncodeConfig, data: EpisodeStore, tmp_path: Path) -> None:
    encode(config)
    other = small_store(tmp_path / "other", lengths=(9, 30))
    with pytest.raises(StoreError, match=f"were not made from .*other.*run `worldmodel encode data={other.path}`"):
        open_features(config.out, [other], ("scene",), 2)
    with pytest.raises(StoreError, match="has 2 x 2 features a frame, the model 4 x 4 patches"):
        open_features(config.out, [data], ("scene",), 4)
    with pytest.raises(StoreError, match=r"lacks features of camera 'top'; it has features\.scene"):
        open_features(config.out, [data], ("top",), 2)
    with pytest.raises(StoreError, match="holds no features; make them with `worldmodel encode`"):
        open_features(config.data, [data], ("scene",), 2)
    with pytest.raises(StoreError, match="was made with frames of 32 pixels, not 16"):
        open_features(config.out, [open_source(config.data, 16)], ("scene",), 1)
    encode(replace(config, data=str(other.path), out=str(tmp_path / "more"), encoder="tiny_random_dinov3"))
    with pytest.raises(StoreError, match="come from different encoders"):
        open_features(f"{config.out},{tmp_path / 'more'}", [data, other], ("scene",), 2)


def test_repa_trains_and_resumes_exactly(config: EncodeConfig, run: TrainConfig, tmp_path: Path) -> None:
    encode(config)
    train(run)
    states = saved(Path(run.out) / "states")
    whole = load_file(states[-1] / "state.safetensors")
    rows = [json.loads(line) for line in (Path(run.out) / "metrics.jsonl").read_text().splitlines()]
    losses = [value for row in rows for name, value in row.items() if name.endswith("/external")]
    assert losses and all(-1 <= value <= 1 for value in losses)
    killed = replace(run, out=str(tmp_path / "killed"))
    (tmp_path / "killed" / "states").mkdir(parents=True)
    states[0].rename(tmp_path / "killed" / "states" / states[0].name)
    train(killed)
    resumed = load_file(saved(tmp_path / "killed" / "states")[-1] / "state.safetensors")
    assert any(name.startswith("model.external.") for name in whole) and whole.keys() == resumed.keys()
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    assert checkpoint.load(Path(run.out)).external is None, "the head that imitates is no part of the model"
    assert checkpoint.card(Path(run.out))["provenance"]["features"][0]["encoder"] == "tiny_random"


def test_repa_says_what_it_lacks(config: EncodeConfig, run: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"repa needs features=FOLDER; make them with `worldmodel encode data=.*data "):
        replace(run, features=None)
    with pytest.raises(FileNotFoundError, match="features"):
        train(run)
    encode(config)
    other = small_store(tmp_path / "other", lengths=(9, 30))
    with pytest.raises(StoreError, match="were not made from"):
        train(replace(run, data=str(other.path)))
    assert not Path(run.out).exists()
