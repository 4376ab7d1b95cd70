"""What an evaluation keeps on disk while it runs, so that an interruption loses nothing and a rerun goes on.

``run.json`` says what is being evaluated; ``episodes.jsonl`` gains a line per finished episode, and ``actions/`` the
actions it executed (float32 .npy), from which any episode can be replayed and filmed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.config import UserError
from worldmodel.evaluate.lockstep import Result


class Journal:
    """The folder of one evaluation. ``lines``: finished episodes by index; ``identity`` must match to go on."""

    def __init__(self, path: Path, identity: Mapping[str, Any], trials: Mapping[int, str]) -> None:
        """``trials`` maps the index of each episode asked for to the hash of its start."""
        if path.exists() and not path.is_dir():
            raise UserError(f"out={path}: is a file, expected a folder; choose another out=")
        path.mkdir(parents=True, exist_ok=True)
        (path / "actions").mkdir(exist_ok=True)
        self.path, self.trials = path, trials
        self.run = self._open_run(dict(identity))
        self.lines = {i: line for i, line in _read_lines(path / "episodes.jsonl").items() if self._fits(i, line)}
        # Rewritten: a kill may have left half a line at its end, and fewer episodes may be asked for than are there.
        text = "".join(json.dumps(line) + "\n" for line in _read_lines(path / "episodes.jsonl").values())
        write_atomically(path / "episodes.jsonl", text)

    def add(self, result: Result) -> None:
        """Keep one finished episode, durably."""
        with (self.path / "actions" / f"{result.trial.index:04d}.npy").open("wb") as file:
            np.save(file, result.actions)
        line = result.line()
        with (self.path / "episodes.jsonl").open("a") as lines:
            lines.write(json.dumps(line) + "\n")
            lines.flush()
            os.fsync(lines.fileno())
        self.lines[result.trial.index] = line

    def actions(self, index: int) -> np.ndarray:
        """Executed actions of a finished episode, float32 (steps, A)."""
        return np.load(self.path / "actions" / f"{index:04d}.npy", allow_pickle=False)

    def session(self, **spent: float) -> dict[str, float]:
        """Add what this session spent (steps, seconds, ...) and return the totals of all sessions."""
        totals = self.run.setdefault("spent", {})
        for key, value in spent.items():
            totals[key] = totals.get(key, 0) + value
        write_atomically(self.path / "run.json", json.dumps(self.run, indent=1))
        return dict(totals)

    def _open_run(self, identity: dict[str, Any]) -> dict[str, Any]:
        file = self.path / "run.json"
        identity = json.loads(json.dumps(identity))
        if not file.exists():
            if (self.path / "episodes.jsonl").exists():
                raise UserError(f"out={self.path}: holds episodes of an unknown run (no run.json); choose another out=")
            run = {"identity": identity, "spent": {}}
            write_atomically(file, json.dumps(run, indent=1))
            return run
        try:
            run = json.loads(file.read_text())
            before = run["identity"]
        except (ValueError, KeyError, TypeError):
            raise UserError(f"out={self.path}: its run.json is damaged; choose another out= or remove it") from None
        differs = [key for key in identity if before.get(key) != identity[key]]
        if differs:
            key = differs[0]
            was = f"holds an evaluation with {key}={_short(before.get(key))}, asked for {key}={_short(identity[key])}"
            raise UserError(f"out={self.path}: {was}; choose another out= or remove it")
        return dict(run)

    def _fits(self, index: int, line: Mapping[str, Any]) -> bool:
        known = self.trials.get(index) == line.get("start")
        return known and (self.path / "actions" / f"{index:04d}.npy").exists()


def _read_lines(path: Path) -> dict[int, dict[str, Any]]:
    """Episodes by index; a line that was cut short is left out."""
    lines: dict[int, dict[str, Any]] = {}
    if path.exists():
        for text in path.read_text().splitlines():
            try:
                line = json.loads(text)
                lines[int(line["episode"])] = line
            except (ValueError, KeyError, TypeError):
                continue
    return lines


def write_atomically(path: Path, text: str) -> None:
    """Replace a small text file: temporary name, fsync, rename."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _short(value: Any) -> str:
    text = str(value)
    return text[:16] if len(text) > 40 else text
