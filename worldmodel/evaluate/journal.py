"""What an evaluation keeps on disk while it runs, so that the same command resumes it.

``run.json`` holds what is evaluated, ``episodes.jsonl`` a line per finished episode, and ``actions/`` the actions it
executed (float32 .npy), from which it can be replayed and filmed.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel import legacy
from worldmodel.config import UserError
from worldmodel.files import JsonLines, out_folder, read_json_lines, write_json
from worldmodel.rollout.loop import EpisodeResult
from worldmodel.schema import CONTROL_HZ


class EvalJournal:
    """The folder of one evaluation. ``lines``: finished episodes by index; ``identity`` must match to go on."""

    def __init__(
        self, path: Path, identity: Mapping[str, Any], starts: Mapping[int, str], rate: float = CONTROL_HZ
    ) -> None:
        """``starts`` maps the index of each episode to the hash of its start; ``rate`` in hertz."""
        (out_folder(str(path)) / "actions").mkdir(exist_ok=True)
        self.path, self.starts, self.rate = path, starts, rate
        self.run = self._open_run(dict(identity))
        lines = read_json_lines(path / "episodes.jsonl")
        self.lines = {line["episode"]: line for line, _ in lines if self._fits(line)}
        self._file = JsonLines(path / "episodes.jsonl", sums=True)
        self._file.cut(lines[-1][1] if lines else 0)  # a kill may have left half a line at its end

    def add(self, result: EpisodeResult) -> None:
        with (self.path / "actions" / f"{result.start.index:04d}.npy").open("wb") as file:
            np.save(file, result.actions)
        line = result.line(self.rate)
        self._file.add(line, durable=True)
        self.lines[result.start.index] = line

    def actions(self, index: int) -> np.ndarray:
        """Executed actions of a finished episode, float32 (steps, A)."""
        return np.load(self.path / "actions" / f"{index:04d}.npy", allow_pickle=False)

    def session(self, **spent: float) -> dict[str, float]:
        """Add what this session spent (steps, seconds, ...) and return the totals of all sessions."""
        totals = self.run.setdefault("spent", {})
        for key, value in spent.items():
            totals[key] = totals.get(key, 0) + value
        write_json(self.path / "run.json", self.run)
        return dict(totals)

    def _open_run(self, identity: dict[str, Any]) -> dict[str, Any]:
        file = self.path / "run.json"
        identity = json.loads(json.dumps(identity))
        if not file.exists():
            if (self.path / "episodes.jsonl").exists():
                raise UserError(f"out={self.path}: holds episodes of an unknown run (no run.json); choose another out=")
            run = {"identity": identity, "spent": {}}
            write_json(file, run)
            return run
        try:
            run = json.loads(file.read_text())
            before = legacy.saved("evaluate", run["identity"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f"out={self.path}: its run.json is damaged; choose another out= or remove it") from None
        differs = [key for key in identity if before.get(key) != identity[key]]
        if differs:
            key = differs[0]
            was = f"holds an evaluation with {key}={_short(before.get(key))}, expected {key}={_short(identity[key])}"
            raise UserError(f"out={self.path}: {was}; choose another out= or remove it")
        return dict(run)

    def _fits(self, line: Mapping[str, Any]) -> bool:
        index = line.get("episode", -1)
        known = self.starts.get(index) == line.get("start")
        return known and (self.path / "actions" / f"{index:04d}.npy").exists()


def _short(value: Any) -> str:
    text = str(value)
    return text[:16] if len(text) > 40 else text
