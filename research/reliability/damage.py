"""Every kind of file, flipped, cut, deleted, appended to and swapped: `verify` names it, or it is refused."""

import contextlib
import io
import json
import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from research.reliability import jobs
from research.reliability.result import Tally
from worldmodel import checkpoint
from worldmodel.data import EpisodeStore, StoreError, StoreWriter, layout
from worldmodel.data.card import README, write_card
from worldmodel.data.verification import check_whole, verify
from worldmodel.evaluate.initial_states import Starts, StartsError
from worldmodel.files import write_file
from worldmodel.model import ModelConfig
from worldmodel.train.config import TrainConfig
from worldmodel.train.state import CARD, TENSORS, TrainState, build

WAYS = ("flip", "cut", "delete", "append", "swap")


@dataclass(frozen=True)
class Kind:
    """A thing on disk. named: whether damage to it is named (an error of ours counts). silent: what was taken from it
    although it is damaged, or nothing.
    """

    make: Callable[[Path, int], object]
    named: Callable[[Path], bool]
    silent: Callable[[Path], str] = lambda folder: ""


def run(n: int = 2000, seed: int = 0) -> Tally:
    """``n`` damages, each to a file drawn from all kinds alike and in a way drawn alike."""
    tally, rng = Tally("damage"), random.Random(seed)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for name, kind in KINDS.items():
            for number in (0, 1):
                kind.make(root / f"{name}{number}", number)
        files = {name: _files(root / f"{name}0") for name in KINDS}
        families = [(name, family) for name, found in files.items() for family in found]
        for trial in range(n):
            name, family = families[trial % len(families)]
            way = WAYS[(trial // len(families)) % len(WAYS)]
            file = rng.choice(files[name][family])
            shutil.rmtree(root / "damaged", ignore_errors=True)
            shutil.copytree(root / f"{name}0", root / "damaged")
            if not damage(root / "damaged" / file, way, root / f"{name}1" / file, rng):
                continue  # the two are the same: nothing has changed
            tally.add(f"{name}/{family}", _judged(KINDS[name], root / "damaged", f"{way} of {file}"), way)
    return tally


def damage(file: Path, way: str, other: Path, rng: random.Random) -> bool:
    """Damage a file; whether its bytes are others now."""
    before = file.read_bytes()
    if way == "delete":
        file.unlink()
        return True
    after = bytearray(before)
    if way == "flip" and after:
        after[rng.randrange(len(after))] ^= 1 << rng.randrange(8)
    elif way == "cut":
        after = after[: rng.randrange(len(after))] if after else after
    elif way == "append":
        after += rng.choice([b"\0", b"\n", b"{}", b"x" * 4096])
    elif way == "swap":  # a whole file of another of its kind; of what is one file alone, of another kind
        other = other if other.suffix != ".npz" else file.parent.parent / "store1" / layout.GROUP
        after = bytearray(other.read_bytes()) if other.is_file() else after
    file.write_bytes(after)
    return bytes(after) != before


def _judged(kind: Kind, folder: Path, what: str) -> str:
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            if not kind.named(folder):
                return f"{what}: not named"
            silent = kind.silent(folder)
    except Exception as error:  # noqa: BLE001  that is what is looked for
        return f"{what}: {type(error).__name__}: {error}"
    return f"{what}: {silent}" if silent else ""


def _files(folder: Path) -> dict[str, list[Path]]:
    """Files of a folder by their family: numbers of blocks and names of arrays do not make another one."""
    families: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            inside = path.relative_to(folder)
            parts = ["array" if part.startswith(("observation", "action")) else part for part in inside.parts]
            family = "/".join("block" if part.isdigit() else part for part in parts)
            families.setdefault(family.replace("c/block/block/block/block", "frames"), []).append(inside)
    return families


def _store(path: Path, number: int) -> None:
    """A sealed store with its card, README and what a conversion keeps."""
    with StoreWriter.create(path, {"recipe": {"n": number}, "licence": "MIT"}, 16) as writer:
        for seed in range(3):
            writer.append(jobs.episode(seed + 10 * number))
        (path / layout.KEPT / "meta").mkdir(parents=True)
        (path / layout.KEPT / "meta" / "info.json").write_text(json.dumps({"fps": 20 + number}))
        write_file(path / layout.KEPT / layout.SUMS, json.dumps(layout.hashes(path / layout.KEPT), indent=1))
        kept = layout.hashes(path)[f"{layout.KEPT}/{layout.SUMS}"]
        writer.note(converted={"from": "lerobot", "kept": kept})
        writer.seal()
    (path / README).write_text(f"# a store {number}\n")
    write_card(path, {"fingerprint": EpisodeStore.open(path).fingerprint, "declared": {"licence": "MIT"}})


def _store_named(path: Path) -> bool:
    try:
        return bool(verify(path))
    except (StoreError, FileNotFoundError):
        return True


def _store_trained(path: Path) -> str:
    """Data that is taken for training although a number of it is another."""
    try:
        store = EpisodeStore.open(path)
        check_whole(store)
    except (StoreError, FileNotFoundError):
        return ""
    whole = EpisodeStore.open(path.parent / "store0")
    same = all(np.array_equal(store.array(key)[:], whole.array(key)[:]) for key in whole.keys)
    return "" if same and store.tasks == whole.tasks else "would be trained on"


def _unfinished(path: Path, number: int) -> None:
    with StoreWriter.create(path, {"recipe": {"n": number}}, 16) as writer:
        for seed in range(3):
            writer.append(jobs.episode(seed + 10 * number))
        writer.drop(9)


def _unfinished_named(path: Path) -> bool:
    """Resuming refuses, or keeps only episodes that are as recorded; those after the damage are recorded again."""
    try:
        writer = StoreWriter.resume(path)
    except (StoreError, FileNotFoundError):
        return True
    with writer:
        kept = len(writer.records)
        seeds = [record["seed"] for record in writer.records]
        if seeds != list(range(kept)) or any(record["task"] != "place_can" for record in writer.records):
            return False
        start = 0
        for seed in seeds:
            whole = jobs.episode(seed)
            for key, values in whole.arrays.items():
                if not np.array_equal(writer.read(key)[start : start + len(whole)], values):
                    return False
            start += len(whole)
    return True


def _checkpoint(path: Path, number: int) -> None:
    checkpoint.save(jobs._model(0.1 * (number + 1)), path, {"steps": number})


def _checkpoint_named(path: Path) -> bool:
    try:
        found = checkpoint.load(path).state_dict(), checkpoint.card(path)
    except checkpoint.CheckpointError:
        return True
    whole = path.parent / "checkpoint0"
    return _same(found, (checkpoint.load(whole).state_dict(), checkpoint.card(whole)))  # white space


def _same(found: Any, wanted: Any) -> bool:
    """Whether tensors and record are those that were written, bit for bit."""
    tensors, card = found
    return card == wanted[1] and all(torch.equal(tensors[name], value) for name, value in wanted[0].items())


LEARNER: list[TrainState] = []


def _learner() -> TrainState:
    if not LEARNER:
        config = TrainConfig(data="x", out="x", backbone=jobs.SMALL)
        LEARNER.append(build(ModelConfig(backbone=jobs.SMALL, size=16), config, 0, torch.device("cpu")))
    return LEARNER[0]


def _state(path: Path, number: int) -> None:
    learner = _learner()
    learner.step = number + 1
    learner.save(path, {"train": {}, "provenance": {}})


def _state_named(path: Path) -> bool:
    """Refused by resuming, or no state at all any more (its record is gone: the one before it counts)."""
    folders = [folder for folder in path.glob("[0-9]*") if (folder / CARD).is_file()]
    try:
        for folder in folders:
            _learner().restore(folder)
            found = checkpoint.read_folder(folder, TENSORS, CARD)
            if not _same(found, checkpoint.read_folder(path.parent / "state0" / folder.name, TENSORS, CARD)):
                return False
    except checkpoint.CheckpointError:
        pass
    return True


def _starts(path: Path, number: int) -> None:
    path.mkdir()
    Starts("place_can", np.full((4, 7), number + 0.5), (1, 2, 3, 4), {"mujoco": "3"}).save(path / "starts.npz")


def _starts_named(path: Path) -> bool:
    try:
        starts = Starts.load(path / "starts.npz")
    except StartsError:
        return True
    whole = Starts.load(path.parent / "starts0" / "starts.npz")
    return starts.sha256 == whole.sha256  # bytes that hold nothing: an archive's dates and padding


KINDS = {
    "store": Kind(_store, _store_named, _store_trained),
    "unfinished": Kind(_unfinished, _unfinished_named),
    "checkpoint": Kind(_checkpoint, _checkpoint_named),
    "state": Kind(_state, _state_named),
    "starts": Kind(_starts, _starts_named),
}
