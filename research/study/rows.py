"""Rows: one small JSON file per cell, committed, from which every report can be made again.

A row says what its cell was (settings and their hash), what it cost, and which starts it solved, one character per
start, so that arms can be compared start by start.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import cache
from pathlib import Path
from typing import Any

from research.study.arms import ARMS, find_arm
from research.study.plan import Cell, Study, StudyConfig
from worldmodel import legacy
from worldmodel.config import UserError, leaves
from worldmodel.files import write_file
from worldmodel.objectives import ObjectiveConfig
from worldmodel.tokens.listed import complete
from worldmodel.train.config import TrainConfig

FORMAT = 1
CODE = ("backbone", "flow", "model", "objectives", "tokens", "train", "data/clips.py", "schema.py")
"""What trains a cell. Rows keep its hash, and reports show where rows of several versions stand side by side."""

type Row = dict[str, Any]


def path_of(plan: StudyConfig, cell: Cell) -> Path:
    """File of a cell's row."""
    return plan.folder / "rows" / f"{cell.name}.json"


def identity(settings: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def read(path: Path) -> Row:
    """A row. UserError where it is damaged, was edited, or has another format."""
    try:
        row = dict(json.loads(path.read_text()))
        intact = row["identity"] == identity(row["settings"])
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is not a row of a study; remove it and run its cell again") from None
    if row.get("format") != FORMAT:
        raise UserError(f"{path} has format {row.get('format')!r}, expected {FORMAT}; run its cell again")
    if not intact:
        raise UserError(f"{path}: its settings were edited (identity differs); restore it or run its cell again")
    return row


def read_all(plan: StudyConfig) -> list[Row]:
    """All rows of a plan, by name."""
    return [read(path) for path in sorted((plan.folder / "rows").glob("*.json"))]


def write(path: Path, row: Row) -> None:
    """One line per entry, so that a change shows in a diff."""
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in row.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, "{\n" + lines + "\n}\n")


def begin(study: Study, cell: Cell) -> Row:
    """The cell's row as far as it is there, or an empty one. UserError where it belongs to another plan."""
    path, settings = path_of(study.plan, cell), study.settings(cell)
    if path.is_file():
        row = read(path)
        if differs := difference(row["settings"], settings):
            raise UserError(
                f"{path}: was made with {differs}; use another plan= name, or remove the rows of the old plan"
            )
        return row
    head = {"format": FORMAT, "arm": cell.arm, "demonstrations": cell.size, "seed": cell.seed}
    return head | {"identity": identity(settings), "settings": settings}


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What settings differ in ("steps=200, now 400; ..."), or nothing; new keys stand at their default."""
    default, before = _defaults(), _today(before)
    keys = [
        key
        for key in dict.fromkeys([*before, *now])
        if before.get(key, default.get(key)) != now.get(key, default.get(key))
    ]
    changes = [f"{key}={_short(before.get(key, default.get(key)))}, now {_short(now.get(key))}" for key in keys[:4]]
    return "; ".join([*changes, *([f"and {len(keys) - 4} more"] if len(keys) > 4 else [])])


def _today(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a row of any version, flat, by the names that they have now."""
    nested = legacy.saved("train", settings)
    if "objective" in nested:
        known = {field.name for field in fields(ObjectiveConfig)}  # older rows hold options that have gone
        nested["objective"] = {key: value for key, value in nested["objective"].items() if key in known}
    if "modalities" in nested:
        nested["modalities"] = complete(nested["modalities"])
    return dict(leaves(nested))


def check_all(study: Study) -> None:
    """UserError where the plan's folder holds a row that this plan would not have made, or could not be paired with."""
    plan, here = study.plan, study.ground.recordings
    for row in read_all(plan):
        if row["arm"] not in ARMS:
            continue
        cell = Cell(row["arm"], row["demonstrations"], row["seed"])
        begin(study, cell)
        there = tuple(row.get("made", {}).get("data", here))
        group = [other for other in plan.cells() if (other.size, other.seed) == (cell.size, cell.seed)]
        todo = [other.name for other in group if missing(study, other, begin(study, other))]
        if there != here and todo:
            raise UserError(
                f"{todo[0]} is not whole, but {cell.name} was made from another recording of the same recipe "
                f"({', '.join(name[:12] for name in there)}), which it would need: remove the rows of this size and "
                "seed to make them all again, or leave it out of seeds= and demonstrations="
            )


def missing(study: Study, cell: Cell, row: Row) -> list[str]:
    """What the plan requires and the row does not have: "training", "imagination", a perturbation, ...."""
    plan, modes = study.plan, study.training(cell).modes
    left = [] if "checkpoints" in row else ["training"]
    left += [name for name in plan.perturb if name not in row.get("perturbed", {})]
    left += [f"{steps} sampler steps" for steps in plan.sampler_steps if str(steps) not in row.get("sampled", {})]
    left += [f"delay {steps}" for steps in plan.delays if str(steps) not in row.get("delayed", {})]
    if plan.imagine and modes.forward > 0 and not row.get("imagination"):
        left.append("imagination")
    if find_arm(cell.arm).uses_audio and modes.forward > 0 and "sound" not in row:
        left.append("sound")
    return left + [name for name in _probe(plan) if not row.get(name)]


def _probe(plan: StudyConfig) -> list[str]:
    """Probing, if requested and possible in this version."""
    return ["probe"] if plan.probe and _can("research.probe.command") else []


def _can(module: str) -> bool:
    """Whether this version has a module."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@cache
def code() -> str:
    """SHA-256 (first 12 hex digits) of the sources that train a cell."""
    import worldmodel

    root, digest = Path(worldmodel.__file__).parent, hashlib.sha256()
    for name in CODE:
        for file in sorted([root / name] if name.endswith(".py") else (root / name).rglob("*.py")):
            digest.update(file.relative_to(root).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:12]


@cache
def _defaults() -> dict[str, Any]:
    """A training's defaults, flat, as JSON gives them back."""
    return dict(leaves(json.loads(json.dumps(asdict(TrainConfig(data="", out=""))))))


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 24 else text[:20] + "..."
