"""The first five losses of every mode and objective are committed: a refactoring that moves one is caught.

Regenerate on purpose, after a change that is meant to move them, with ``python tests/train/test_curves.py``.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from worldmodel.backbone import BackboneConfig
from worldmodel.data import EpisodeStore
from worldmodel.objectives import ObjectiveConfig
from worldmodel.schema import ACTION, AUDIO, EXECUTED, STATE, Episode, image_key
from worldmodel.train import TrainConfig, train
from worldmodel.train.config import LogConfig, ModesConfig, RolloutConfig, ValidationConfig

CURVES = Path(__file__).with_name("curves.json")
TOLERANCE = 1e-3
"""Relative. Processors sum in different orders; five steps of float32 keep that below 1e-4."""

MODES = ("policy", "joint", "forward", "inverse", "video", "rollout")
OBJECTIVES = ("dual", "sra", "self_flow", "separated", "dispersive", "frame", "regression", "mip")
CASES = {f"flow/{mode}": (mode, "flow", False) for mode in MODES}
CASES |= {f"{kind}/joint": ("joint", kind, False) for kind in OBJECTIVES}
CASES |= {f"sound and words/{mode}": (mode, "self_flow", True) for mode in ("joint", "inverse")}


def record(path: Path) -> None:
    """Two episodes in which everything changes: a blob that moves, a state that wanders, pushed actions, sound."""
    rng, writer = np.random.default_rng(5), EpisodeStore.create(path, {"licence": "Apache-2.0"})
    row, column = np.mgrid[:32, :32]
    for seed, length in enumerate((40, 30)):
        state = np.cumsum(rng.normal(size=(length, 4)) / 20, axis=0).astype(np.float32)
        centre = 16 + 10 * state[:, :2, None, None]
        blob = np.exp(-((row - centre[:, 0]) ** 2 + (column - centre[:, 1]) ** 2) / 30)
        frames = (40 + 200 * blob[..., None] * [1.0, 0.6, 0.3]).clip(0, 255).astype(np.uint8)
        action = (state + rng.normal(size=(length, 4)) / 50).astype(np.float32)
        executed = action + (rng.random((length, 1)) < 0.1) * np.float32(0.05)
        arrays = {image_key("scene"): frames, image_key("wrist"): frames[:, ::-1].copy(), STATE: state}
        arrays |= {ACTION: action, EXECUTED: executed, AUDIO: rng.normal(size=(length, 400)).astype(np.float32) / 9}
        writer.append(Episode(arrays, "place_can", seed, True))
    writer.seal()


def curve(folder: Path, mode: str, kind: str, senses: bool) -> dict[str, list[float]]:
    """Every loss of five steps in one mode, from the real entry point."""
    record(folder / "data")
    stream = RolloutConfig(window=3, p_self=0.5, burn_in=1, history_bias=0.05, history_mixup=0.1)
    config = TrainConfig(
        data=str(folder / "data"),
        out=str(folder / "run"),
        steps=5,
        batch=8,
        seed=3,
        holdout=0,
        compile=False,
        device="cpu",
        modalities={"audio": senses},
        language=senses,
        backbone=BackboneConfig(width=32, depth=2, heads=2),
        modes=replace(ModesConfig(*[0] * 5, rollout=1), **{"rollout": 0, mode: 1}),
        objective=ObjectiveConfig(name=kind),
        rollout=stream,
        log=LogConfig(every=1),
        validation=ValidationConfig(every=0),
    )
    train(config)
    rows = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    names = [name for name in rows[0] if name.startswith(f"{mode}/") and "ratio" not in name]
    return {name: [row[name] for row in rows if name in row] for name in names}


@pytest.mark.parametrize("case", CASES)
def test_the_first_five_losses_are_the_committed_ones(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)  # float32 everywhere
    assert curve(tmp_path, *CASES[case]) == {
        name: pytest.approx(values, rel=TOLERANCE, abs=2e-5)
        for name, values in json.loads(CURVES.read_text())[case].items()
    }


if __name__ == "__main__":
    import tempfile

    torch.cpu._is_avx512_bf16_supported = lambda: False
    found = {}
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = curve(Path(folder), *case)
    CURVES.write_text(json.dumps(found, indent=1) + "\n")
