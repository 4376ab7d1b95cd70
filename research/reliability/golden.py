"""Makes ``tests/golden/``: a store, a checkpoint and starts of this version, which later versions have to load.

Run once for a format, never again: the test is about files that were written long ago.
"""

from pathlib import Path

import numpy as np
import torch

from research.reliability import jobs
from research.reliability.result import Tally
from worldmodel import checkpoint
from worldmodel.data import StoreWriter
from worldmodel.evaluate.initial_states import Starts
from worldmodel.model import ModelConfig, WorldModel

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "golden"


def run(folder: str = str(FOLDER)) -> Tally:
    """Write what is not there yet."""
    tally, root = Tally("golden"), Path(folder)
    if not (root / "store").exists():
        with StoreWriter.create(root / "store", {"recipe": {"made": "by hand"}, "licence": "Apache-2.0"}, 8) as writer:
            for seed in range(2):
                writer.append(jobs.episode(seed, length=12, side=16))
            writer.seal()
    if not (root / "model").exists():
        torch.manual_seed(0)
        model = WorldModel(ModelConfig(backbone=jobs.SMALL, size=16, cameras=("scene", "wrist")))
        checkpoint.save(model, root / "model", {"steps": 0, "train": {"modes": {"policy": 1.0}}}, torch.bfloat16)
    if not (root / "starts.npz").exists():
        states = np.random.default_rng(0).random((4, 9))
        Starts("place_can", states, (1, 2, 3, 4), {"mujoco": "3.17.0", "scene_sha256": "0" * 64}).save(
            root / "starts.npz"
        )
    for part in ("store", "model", "starts.npz"):
        tally.add(part, "" if (root / part).exists() else "not written")
    return tally
