"""Inputs that were never meant for us: options, checkpoints, states, starts, messages. One line, or they are taken."""

import contextlib
import copy
import hashlib
import importlib
import io
import json
import os
import random
import socket
import struct
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from research.reliability import damage, jobs
from research.reliability.result import Tally
from research.reliability.watch import Watch
from worldmodel import checkpoint, cli, model_card, settings
from worldmodel.evaluate.initial_states import Starts
from worldmodel.play import messages
from worldmodel.sims.remote import wire
from worldmodel.train.state import CARD, TENSORS

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf"),
    "", " ", "x", "..", "../../etc/passwd", "/etc/passwd", "\0", "é\u202e", "${oc.env:SECRET}", "${oc.env:SECRET,x}",
    "???", "x" * 3000, [], [1], ["a", "a"], [[[]]], {}, {"a": 1}, {"__class__": "os.system"}, "gym:os:system",
    "!!python/object/apply:os.system [ls]", "python:/dev/null:x", "null", "true", "1e400", "-", "[", "{", "a=b", "~",
    "@x", "\\", "'", '"',
)  # fmt: skip
"""Values that belong nowhere."""
PARTS = ("overrides", "checkpoints", "states", "starts", "wire", "page")


def run(n: int = 1000, seed: int = 0, only: str = "") -> Tally:
    """``n`` trials of each of `PARTS`, or of ``only`` one."""
    tally = Tally(f"fuzz_{only}" if only else "fuzz")
    torch.set_num_threads(1)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    importlib.import_module("torch._dynamo")  # what is loaded late, now: not while a trial is timed
    with tempfile.TemporaryDirectory() as scratch:
        watch = Watch(Path(scratch))
        for part in PARTS if not only else (only,):
            make: Callable[[Path, random.Random], Callable[[], Callable[[], Any]]] = globals()[f"_{part}"]
            draw = make(Path(scratch), random.Random(seed))
            for number in range(n):
                outcome, problem = watch.trial(draw())
                tally.add(part, problem and f"trial {number}: {problem}", outcome)
                if number % 1000 == 999:
                    print(f"{part}: {number + 1} of {n}", file=sys.stderr, flush=True)
    return tally


def _overrides(folder: Path, rng: random.Random) -> Callable[[], Callable[[], Any]]:
    """Options of every command, composed as the command line composes them; nothing is run."""
    commands = [command for command in cli.COMMANDS if "research" not in command.module]
    schemas = [(command.name.replace(" ", "_"), cli.schema_of(command)) for command in commands]
    names = {name: [option.name for option in settings.describe(name, schema)[0]] for name, schema in schemas}

    def draw() -> Callable[[], Any]:
        name, schema = rng.choice(schemas)
        known = names[name] or ["out"]
        texts = [f"{_key(rng, known)}={_text(rng)}" for _ in range(rng.randint(1, 4))]
        needed = [f"{key}=x" for key in ("out", "data", "source", "store", "name") if key in known]
        return lambda: settings.load(name, schema, [*needed, *texts])

    return draw


def _key(rng: random.Random, known: list[str]) -> str:
    key = rng.choice(known)
    return (
        key
        if rng.random() < 0.9
        else rng.choice([key + ".x", key[:-1], "+" + key, "~" + key, "", "hydra.run.dir", key * 2])
    )


def _text(rng: random.Random) -> str:
    if rng.random() < 0.3:
        return "".join(rng.choice("ab01.,:=[]{}$\\'\"()!@*-+ \t\n%é") for _ in range(rng.randint(0, 24)))
    return str(rng.choice(ODD)) if rng.random() < 0.7 else json.dumps(rng.choice(ODD))


def _changed(value: Any, rng: random.Random) -> Any:
    """A copy of a JSON value with one or two places changed, dropped or added."""
    whole = json.loads(json.dumps(value))
    for _ in range(rng.randint(1, 2)):
        inside, key = _place(whole, rng)
        if inside is None:
            continue
        if isinstance(inside, dict) and rng.random() < 0.2:
            inside.pop(key)
        elif isinstance(inside, dict) and rng.random() < 0.1:
            inside[rng.choice(["evil", "", "a.b", "__class__"])] = copy.deepcopy(rng.choice(ODD))
        else:
            inside[key] = copy.deepcopy(rng.choice(ODD))
    return whole


def _place(whole: Any, rng: random.Random) -> tuple[Any, Any]:
    inside, key = None, None
    while isinstance(whole, dict | list) and whole and (inside is None or rng.random() < 0.75):
        inside, key = whole, rng.choice([*whole] if isinstance(whole, dict) else range(len(whole)))
        whole = inside[key]
    return inside, key


def _bent(data: bytes, rng: random.Random) -> bytes:
    """Bytes with a few flipped, cut or put in; deep and empty ones now and then."""
    kind = rng.random()
    if kind < 0.05:
        return rng.choice(
            [b"", b"[" * 50_000, b'{"a":' * 50_000, b"\xff\xfe\0", bytes(rng.randrange(256) for _ in range(64))]
        )
    after = bytearray(data)
    for _ in range(rng.randint(1, 8) if after else 0):
        where = rng.randrange(max(1, len(after)))
        if kind < 0.5:
            after[where] ^= 1 << rng.randrange(8)
        elif kind < 0.7:
            after[where : where + rng.randint(1, 16)] = bytes(rng.randrange(256) for _ in range(rng.randint(0, 16)))
        else:
            after = after[: where + 1]
    return bytes(after)


def _written(folder: Path, name: str, weights: str, rng: random.Random) -> Callable[[], None]:
    """Writes a damaged pair of record and tensors, mostly with sums that fit, as a stranger would make them."""
    good, tensors = json.loads((folder / name).read_text()), load_file(folder / weights)
    raw = {file: (folder / file).read_bytes() for file in (name, weights)}

    def write() -> None:
        for file, content in raw.items():
            (folder / file).write_bytes(content)
        if rng.random() < 0.25:
            (folder / weights).write_bytes(_bent(raw[weights], rng))
        elif rng.random() < 0.2:
            key = rng.choice([*tensors])
            other = rng.choice(
                [torch.zeros(3), torch.full_like(tensors[key], float("nan")), tensors[key].to(torch.float64)]
            )
            save_file(tensors | {rng.choice([key, "evil", "../x"]): other}, folder / weights)
        card = _changed(good, rng) if rng.random() < 0.8 else good
        if isinstance(card, dict) and rng.random() < 0.9:
            card["sha256"] = hashlib.sha256((folder / weights).read_bytes()).hexdigest()
            card[model_card.SUM] = model_card.sum_of(card)
        text = json.dumps(card).encode()
        (folder / name).write_bytes(text if rng.random() < 0.9 else _bent(text, rng))

    return write


def _checkpoints(folder: Path, rng: random.Random) -> Callable[[], Callable[[], Any]]:
    made = {
        "steps": 1,
        "train": {"modes": {"policy": 1.0}, "data": "x"},
        "data": [{"fingerprint": "f", "provenance": {}}],
    }
    path = checkpoint.save(jobs._model(0.1), folder / "model", made)
    write = _written(path, checkpoint.CARD, checkpoint.WEIGHTS, rng)
    lineage = importlib.import_module("worldmodel.quality.lineage")

    def draw() -> Callable[[], Any]:
        write()
        calls = (checkpoint.load, checkpoint.card, checkpoint.trained_modes, lambda p: lineage.trace(str(p)))
        call = calls[0] if rng.random() < 0.7 else rng.choice(calls)
        return lambda: (call(path), None)[1]

    return draw


def _states(folder: Path, rng: random.Random) -> Callable[[], Callable[[], Any]]:
    learner = damage._learner()
    learner.step = 1
    path = learner.save(folder / "states", {"train": {"steps": 5}, "provenance": {"steps": 1}})
    write = _written(path, CARD, TENSORS, rng)

    def draw() -> Callable[[], Any]:
        write()
        return lambda: (learner.restore(path), None)[1]

    return draw


def _starts(folder: Path, rng: random.Random) -> Callable[[], Callable[[], Any]]:
    path = folder / "starts.npz"
    Starts("place_can", np.random.default_rng(0).random((4, 7)), (1, 2, 3, 4), {"mujoco": "3"}).save(path)
    raw = path.read_bytes()
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    meta = json.loads(arrays["meta"].tobytes())

    def draw() -> Callable[[], Any]:
        if rng.random() < 0.5:
            path.write_bytes(_bent(raw, rng))
        else:
            changed = dict(arrays)
            changed["meta"] = np.frombuffer(json.dumps(_changed(meta, rng)).encode(), np.uint8)
            name = rng.choice([*arrays])
            changed[name] = rng.choice(
                [changed[name], np.zeros((2, 3)), np.array("x"), np.zeros(0), np.full((4, 7), np.nan)]
            )
            buffer = io.BytesIO()
            np.savez(buffer, **changed)
            path.write_bytes(buffer.getvalue())
            if rng.random() < 0.1:
                with zipfile.ZipFile(path, "a") as archive:
                    archive.writestr(rng.choice(["../../evil.npy", "meta.npy", "evil.npy"]), b"\x93NUMPY\x01\x00evil")
        return lambda: (Starts.load(path), None)[1]

    return draw


def _wire(folder: Path, rng: random.Random) -> Callable[[], Callable[[], Any]]:
    """Messages of a simulator in another environment; the connection ends after each."""
    header = {"call": "advance", "arrays": [{"name": "a", "dtype": "float32", "shape": [2, 3]}]}

    def draw() -> Callable[[], Any]:
        text = (
            json.dumps(_changed(header, rng)).encode()
            if rng.random() < 0.7
            else _bent(json.dumps(header).encode(), rng)
        )
        if rng.random() < 0.05:
            text = rng.choice([b'{"arrays":[{"name":"a","dtype":"uint8","shape":[1e999]}]}', b"[" * 100_000])
        payload = bytes(rng.choice([24, 24, 24, 0, 7]))
        sizes = (len(text), len(payload)) if rng.random() < 0.85 else (rng.randrange(2**32), rng.randrange(2**64))
        prefix = struct.pack(">4sIQ", b"WMA1" if rng.random() < 0.95 else b"EVIL", *sizes)
        return lambda: _received(prefix + text + payload)

    return draw


def _received(data: bytes) -> None:
    here, there = socket.socketpair()
    with here, there:
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**20)
        here.sendall(data)
        here.shutdown(socket.SHUT_WR)
        with contextlib.suppress(EOFError):
            wire.receive(there)


def _page(folder: Path, rng: random.Random) -> Callable[[], Callable[[], Any]]:
    """What a page of `worldmodel play` says."""
    good: list[Any] = [
        {"type": "drive", "move": [0, 0, 0], "grip": False}, {"type": "pause", "on": True}, {"type": "step"},
        {"type": "reset", "place": {"kind": "seed", "number": 3}}, {"type": "record", "on": True},
        {"type": "seen", "tick": 1}, {"type": "policy", "on": True, "observes": "real"},
    ]  # fmt: skip

    def draw() -> Callable[[], Any]:
        text: Any = json.dumps(_changed(rng.choice(good), rng))
        if rng.random() < 0.3:
            text = _bent(text.encode(), rng).decode("utf-8", "replace")
        return lambda: messages.parse(rng.choice([text, text, text, None]))

    return draw
