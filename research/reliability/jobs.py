"""What is killed: the smallest work that writes everything that a real one writes."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldmodel import checkpoint
from worldmodel.backbone import BackboneConfig
from worldmodel.collect.command import collect
from worldmodel.collect.config import CollectConfig
from worldmodel.data import EpisodeStore, InterruptedStoreError, StoreWriter, layout
from worldmodel.data.formats.convert import ConvertConfig, convert
from worldmodel.data.verification import verify
from worldmodel.evaluate.config import EvaluateConfig
from worldmodel.evaluate.evaluate import evaluate
from worldmodel.evaluate.initial_states import Starts, StartsError
from worldmodel.files import SUM, recover
from worldmodel.model import ModelConfig, WorldModel
from worldmodel.schema import ACTION, EXECUTED, STATE, Episode, image_key
from worldmodel.train import observe, setup, train
from worldmodel.train.config import LogConfig, ModesConfig, TrainConfig, ValidationConfig
from worldmodel.train.state import CARD, TENSORS, saved

SMALL = BackboneConfig(width=16, depth=1, heads=2)
INPUTS: dict[str, Path] = {}
POLICY = """
import numpy as np
class Still:
    chunk_size, cameras, size = 16, ("scene",), 16
    def reset(self): pass
    def act(self, observations):
        state = np.asarray(observations["observation.state"], np.float32)
        return np.repeat(state[:, None, :4], 16, 1) + np.float32(0.01)
"""


def prepare() -> None:
    """What is paid once, or is only for people to look at."""
    import h5py  # noqa: F401
    import torch._dynamo

    torch.set_num_threads(1)
    observe.plot = lambda *a: None
    observe.draw_batch = lambda *a: None
    setup.say = observe.say = lambda *a: None


def inputs(root: Path) -> None:
    """A store to learn from and to convert, the same as robomimic's file, and a policy to evaluate."""
    INPUTS["store"] = small_store(root / "store").path
    INPUTS["hdf5"] = root / "store.hdf5"
    convert(ConvertConfig(source=str(INPUTS["store"]), out=str(INPUTS["hdf5"]), to="robomimic"))
    INPUTS["policy"] = root / "still.py"
    INPUTS["policy"].write_text(POLICY)


def episode(seed: int, length: int = 12, side: int = 16) -> Episode:
    """A recording of noise, the same for the same seed."""
    rng = np.random.default_rng(seed)
    state, action = rng.random((length, 4), np.float32), rng.random((length, 4), np.float32)
    frames = {image_key(name): rng.integers(0, 255, (length, side, side, 3), np.uint8) for name in ("scene", "wrist")}
    return Episode({**frames, STATE: state, ACTION: action, EXECUTED: action}, "place_can", seed, True, {"step": seed})


def small_store(path: Path, episodes: int = 3) -> EpisodeStore:
    """A store of noise; goes on with one that was interrupted."""
    writer = StoreWriter.resume(path) if StoreWriter.resumable(path) else None
    if writer is None and path.exists() and any(entry.name != layout.UNSEALED for entry in path.iterdir()):
        return EpisodeStore.open(path)
    with writer or StoreWriter.create(path, {"recipe": {"episodes": episodes}, "licence": "Apache-2.0"}, 16) as writer:
        while len(writer.records) < episodes:
            writer.append(episode(len(writer.records)))
        writer.seal()
    return EpisodeStore.open(path)


def no_store_lost(path: Path) -> str:
    """A problem where what a kill left is neither unfinished nor whole."""
    try:
        return "; ".join(map(str, verify(path)[:1]))
    except (FileNotFoundError, InterruptedStoreError):
        return ""
    except layout.StoreError as error:
        return "" if not (path / layout.GROUP).exists() else str(error)


def _collect(folder: Path) -> None:
    config = CollectConfig(out=str(folder / "out"), task="lift_can", episodes=2, cameras="[]", workers="1", tail=0)
    assert collect(config) == 0


def _train(folder: Path) -> None:
    train(
        TrainConfig(
            data=str(INPUTS["store"]), out=str(folder / "out"), steps=3, batch=2, save_every=1, holdout=0,
            compile=False, backbone=SMALL, modes=ModesConfig(policy=1, joint=0, forward=0, inverse=0, video=0),
            log=LogConfig(every=1), validation=ValidationConfig(every=0),
        )
    )  # fmt: skip


def _run_whole(folder: Path) -> str:
    """Every state is whole, and the model, from the first export on, can be loaded."""
    states = saved(folder / "out" / "states")
    for state in states:
        checkpoint.read_folder(state, TENSORS, CARD)
    if len(states) > 1:
        checkpoint.load(folder / "out")
    return ""


def _run_found(folder: Path) -> Any:
    run = folder / "out"
    model = hashlib.sha256((run / "model" / "model.safetensors").read_bytes()).hexdigest()
    steps = checkpoint.card(run)["provenance"]["steps"]
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    left = [path.name for path in (*run.glob(".*"), *(run / "states").glob(".*")) if path.name != ".lock"]
    return model, steps, [row["step"] for row in rows if "rate" in row], left


def _model(fill: float) -> WorldModel:
    torch.manual_seed(0)
    model = WorldModel(ModelConfig(backbone=SMALL, size=16, cameras=("scene",)))
    for parameter in model.parameters():
        parameter.data.fill_(fill)
    return model


def _save(folder: Path) -> None:
    recover(folder)
    if not (folder / "model").exists():
        checkpoint.save(_model(0.1), folder / "model", {"steps": 1})
    checkpoint.save(_model(0.2), folder / "model", {"steps": 2})
    Starts("t", np.ones((2, 5)), (1, 2), {"mujoco": "3"}).save(folder / "starts.npz")


def _save_whole(folder: Path) -> str:
    begun = (folder / "starts.npz").exists() or (folder / "model").exists() or (folder / ".model.old").exists()
    value = float(next(checkpoint.load(folder / "model").parameters()).flatten()[0]) if begun else 0.1
    try:
        Starts.load(folder / "starts.npz")
    except StartsError as error:
        if "no starts file" not in str(error):
            return str(error)
    return "" if min(abs(value - 0.1), abs(value - 0.2)) < 1e-6 else f"weights of neither save: {value}"


def _save_found(folder: Path) -> Any:
    return [(path.name, path.read_bytes()) for path in sorted((folder / "model").iterdir())], Starts.load(
        folder / "starts.npz"
    ).sha256


def _from_hdf5(folder: Path) -> None:
    convert(ConvertConfig(source=str(INPUTS["hdf5"]), out=str(folder / "out")))


def _to_hdf5(folder: Path) -> None:
    if not (folder / "out.hdf5").exists():
        convert(ConvertConfig(source=str(INPUTS["store"]), out=str(folder / "out.hdf5"), to="robomimic"))


def _hdf5_found(folder: Path) -> Any:
    again = folder / "again"
    convert(ConvertConfig(source=str(folder / "out.hdf5"), out=str(again)))
    return EpisodeStore.open(again).fingerprint


def _hdf5_whole(folder: Path) -> str:
    if (folder / "out.hdf5").exists():
        import h5py

        with h5py.File(folder / "out.hdf5") as file:
            return "" if len(file["data"]) == 3 else "half a file under its name"
    return ""


def _evaluate(folder: Path) -> None:
    name = f"python:{INPUTS['policy']}:Still"
    options: dict[str, Any] = {"episodes": 2, "batch": 1, "workers": 1, "videos": 0, "n_action_steps": 16, "threads": 1}
    assert evaluate(EvaluateConfig(out=str(folder / "out"), checkpoint=name, task="lift_can", **options)) == 0


def _evaluate_found(folder: Path) -> Any:
    report = json.loads((folder / "out" / "report.json").read_text())
    timed = ("wall_seconds", "attempts", SUM)  # the sum is over the others, too
    lines = [json.loads(line) for line in (folder / "out" / "episodes.jsonl").read_text().splitlines()]
    lines = [{key: value for key, value in line.items() if key not in timed} for line in lines]
    actions = [path.read_bytes() for path in sorted((folder / "out" / "actions").glob("*.npy"))]
    return report["episodes"], report["successes"], sorted(lines, key=lambda line: int(line["episode"])), actions


def _journal_whole(folder: Path) -> str:
    return ""


JOBS: dict[str, list[tuple[Any, Any, Any]]] = {
    "collect": [
        (_collect, lambda f: no_store_lost(f / "out"), lambda f: EpisodeStore.open(f / "out").fingerprint),
    ],
    "train": [(_train, _run_whole, _run_found)],
    "save": [
        (_save, _save_whole, _save_found),
        (
            lambda f: small_store(f / "out"),
            lambda f: no_store_lost(f / "out"),
            lambda f: EpisodeStore.open(f / "out").fingerprint,
        ),
    ],
    "convert": [
        (_from_hdf5, lambda f: no_store_lost(f / "out"), lambda f: EpisodeStore.open(f / "out").fingerprint),
        (_to_hdf5, _hdf5_whole, _hdf5_found),
    ],
    "evaluate": [(_evaluate, _journal_whole, _evaluate_found)],
}
"""For each part the work, what must hold after a kill, and what must be the same in the end; see `kill.Job`."""
