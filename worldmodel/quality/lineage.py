"""``worldmodel lineage``: which data, which code and which simulator made the weights, and what is unknown."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from worldmodel import model_card as checkpoints
from worldmodel.config import option
from worldmodel.damage import reading
from worldmodel.data import EpisodeStore, StoreError
from worldmodel.data.card import UNKNOWN, UNSPECIFIED, answers, declared, updated
from worldmodel.data.source import LEROBOT

UNCHANGED = "here, unchanged"
NONE = "none"  # What an env that does not use MuJoCo says of it
WIDE = 400  # Columns of the tree where it goes into a file or a pipe


@dataclass(frozen=True)
class LineageConfig:
    """Which weights to ask about."""

    checkpoint: str = option("shipped, a model folder or a training run's folder", "shipped")
    json: bool = option("print one JSON record instead of a tree", False)


def lineage(config: LineageConfig) -> int:
    """Print where weights come from, and what is missing."""
    record = trace(config.checkpoint)
    if config.json:
        print(json.dumps(record, indent=1))
    else:
        console = Console(highlight=False, emoji=False)  # a task's name may hold ":x:"
        if not console.is_terminal:
            console.width = WIDE
        console.print(_tree(record))
    return 0


def trace(name: str) -> dict[str, Any]:
    """The lineage as a JSON record: weights, training, code, data (each with its simulators), encoders, missing, and
    under "init" the same of the initial weights (None where random). Raises CheckpointError.
    """
    folder = checkpoints.resolve(name)
    with reading(f"checkpoint {folder}: {checkpoints.CARD}", checkpoints.CheckpointError, checkpoints.AGAIN):
        card = checkpoints.card(name)
        record = {"weights": _weights(folder, card)} | _history(card.get("provenance") or {})
        return record | {"missing": list(_missing(record))}


def _history(made: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint's card says of how it was made, and of what was before it."""
    before = made.get("init")
    return {
        "training": {key: made.get(key) for key in ("command", "steps", "seconds", "hardware", "torch")},
        "code": _code_of(made),
        "data": [_data(entry, path) for entry, path in _stores(made)],
        "encoders": made.get("features") or [],
        "init": {"weights": {"sha256": before.get("sha256")}} | _history(before.get("provenance") or {})
        if before
        else None,
    }


def _code_of(record: Mapping[str, Any]) -> Any:
    return record.get("code") or {"version": record.get("version"), "commit": None, "modified": None}


def _weights(folder: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    try:
        found = hashlib.sha256((folder / checkpoints.WEIGHTS).read_bytes()).hexdigest()
    except OSError:
        found = None
    intact = found is not None and found == card.get("sha256")
    return {"folder": str(folder), "sha256": card.get("sha256"), "intact": intact}


def _stores(made: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str | None]]:
    entries = made.get("data") or []
    paths = str((made.get("train") or {}).get("data") or "").split(",")
    for number, entry in enumerate(entries):
        yield entry, paths[number] if len(paths) == len(entries) else None


def _data(entry: Mapping[str, Any], path: str | None) -> dict[str, Any]:
    provenance, fingerprint = entry.get("provenance") or {}, str(entry.get("fingerprint") or "")
    here, card = _here(path, fingerprint), entry.get("card")
    if card is None:  # trained before checkpoints carried cards: the store's own, where it is here and the same
        card = answers(declared(EpisodeStore.open(path)) if path and here == UNCHANGED else {}, provenance)
    environment = provenance.get("environment") or {}
    envs = environment if isinstance(environment, dict) else {}
    simulators = [{"task": task, **facts} for task, facts in envs.items() if isinstance(facts, dict)]
    return {
        "path": path,
        "here": here,
        "fingerprint": fingerprint or None,
        "card": updated(card, provenance),
        "command": provenance.get("command"),
        "created": provenance.get("created"),
        "code": _code_of(provenance),
        "recipe": provenance.get("recipe"),
        "simulators": simulators,
    }


def _here(path: str | None, fingerprint: str) -> str:
    """Whether the data are still at their path."""
    if path is None:
        return "its path was not recorded"
    if path.startswith(LEROBOT):
        return "read from LeRobot; not looked at again"
    try:
        found = EpisodeStore.open(path, check=False).fingerprint
    except (StoreError, OSError):
        return "not on this machine"
    return UNCHANGED if found == fingerprint else "another store lies there now"


def _missing(record: Mapping[str, Any]) -> Iterator[str]:
    """What is not known, one line each."""
    code, intact = record["code"], record["weights"].get("intact", True)
    lines = {
        "weights: they are not those that the card speaks of (sha256 differs, or the file is missing)": not intact,
        "training: its command was not recorded": not record["training"]["command"],
        "code: the commit that trained was not recorded": code.get("commit") is None,
        "code: it had uncommitted changes when it trained": code.get("commit") is not None and code.get("modified"),
        "data: none recorded": not record["data"],
    }
    yield from (line for line, lost in lines.items() if lost)
    for number, data in enumerate(record["data"], start=1):
        yield from (f"data {number}: {line}" for line in _missing_of(data))
    if record["init"]:
        yield from (f"before, {line}" for line in _missing(record["init"]))


def _missing_of(data: Mapping[str, Any]) -> Iterator[str]:
    if data["fingerprint"] is None:
        yield "no fingerprint"
    for field, answer in data["card"].items():
        if answer["by"] == UNSPECIFIED:
            yield f"its {field} is unspecified; `worldmodel data card STORE {field}=...` sets it for the next training"
    if data["code"].get("commit") is None:
        yield "the commit that collected it was not recorded"
    if not data["simulators"]:
        yield "no simulator recorded (a real robot, or converted from elsewhere)"
    for one in data["simulators"]:
        lost = [field for field in ("mujoco", "scene_sha256") if not one.get(field)]
        yield from (f"the simulator's {field} was not recorded for {one['task']}" for field in lost)


def _tree(record: Mapping[str, Any]) -> Tree:
    weights = record["weights"]
    state = "intact" if weights["intact"] else "[bold red]not as recorded[/]"
    tree = Tree(f"[bold]{escape(weights['folder'])}[/], weights {str(weights['sha256'])[:12]}, {state}")
    _branches(record, tree)
    if record["missing"]:
        lost = tree.add("[yellow]missing[/]")
        for line in record["missing"]:
            lost.add(escape(line))
    return tree


def _branches(record: Mapping[str, Any], tree: Tree) -> None:
    """Add what a record says; what was before it is a branch of its own."""
    training, code = record["training"], record["code"]
    tree.add(f"trained by {escape(_or(training['command']))}, {_or(training['steps'])} steps")
    tree.add(f"code {escape(_code(code))}, torch {_or(training['torch'])} on {escape(_or(training['hardware']))}")
    for data in record["data"]:
        branch = tree.add(f"data {escape(_or(data['path']))}: {_or(data['fingerprint'])[:12]}, {data['here']}")
        for name, answer in data["card"].items():
            branch.add(f"{name}: {escape(_or(answer['value']))} (by {answer['by']})")
        branch.add(f"collected by {escape(_or(data['command']))}, {_or(data['created'])}")
        branch.add(f"code {escape(_code(data['code']))}")
        for simulator in data["simulators"]:
            branch.add(escape(f"{simulator['task']}: {_simulator(simulator)}"))
    for encoder in record["encoders"]:
        tree.add(f"frozen encoder {escape(json.dumps(encoder))}")
    if before := record["init"]:
        _branches(before, tree.add(f"begun from weights {_or(before['weights']['sha256'])[:12]}"))


def _simulator(facts: Mapping[str, Any]) -> str:
    """What simulated and drew, with versions; envs without MuJoCo say "none" of it, and have no GL of ours."""
    made_by, named = str(facts.get("made_by") or ""), {"robosuite": "robosuite", "metaworld": "metaworld"}
    there = {key: value for key, value in facts.items() if value not in (None, "", NONE)}
    engines = [f"{name} {there[key]}" for key, name in (named | {"mujoco": "MuJoCo"}).items() if key in there]
    engines = [made_by] * bool(made_by) + [one for one in engines if not made_by.startswith(one.split()[0] + " ")]
    parts = [*(engines or ["simulator unknown"]), f"scene {_or(facts.get('scene_sha256'))[:12]}"]
    return ", ".join(parts + ([] if facts.get("gl") == NONE else [_or(facts.get("gl"))]))


def _code(code: Mapping[str, Any]) -> str:
    changed = ", with changes" if code.get("modified") else ""
    return f"worldmodel {_or(code.get('version'))}, commit {_or(code.get('commit'))[:12]}{changed}"


def _or(value: Any) -> str:
    return UNKNOWN if value is None or value == "" else str(value)
