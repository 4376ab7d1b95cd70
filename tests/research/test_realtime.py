"""The study of delays: its jerk, and the documented command as a process on a small model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small import CONFIG, small_model

from research.realtime.measure import jerk
from worldmodel import checkpoint

ROOT = Path(__file__).parents[2]


def test_jerk_is_in_millimetres_and_of_positions_alone() -> None:
    steps = np.arange(10.0)[:, None]
    assert jerk(np.concatenate([steps**2, steps, steps, np.random.default_rng(0).uniform(size=(10, 1))], 1)) < 1e-9
    assert jerk(np.concatenate([steps**3 / 6000, 0 * steps, 0 * steps], 1)) == pytest.approx(1 / 3)
    assert jerk(np.zeros((3, 4))) == 0


def test_the_command(tmp_path: Path) -> None:
    model = small_model()
    model.config = replace(CONFIG, prefix=2)
    path = checkpoint.save(model, tmp_path / "model", {})
    for name in ("one", "two"):
        options = [f"checkpoint={path}", f"name={name}", "episodes=2", "batch=2", "delays=[0,2]", f"out={tmp_path}"]
        command = [sys.executable, "-m", "research.realtime.measure", *options]
        where = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, env=where, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "report.json").read_text())["checkpoints"]
    assert set(found) == {"one", "two"} and found["one"]["trained_prefix"] == 2
    assert [(row["delay"], row["continues"]) for row in found["one"]["rows"]] == [(0, False), (2, False), (2, True)]
    assert all(row["n"] == 2 and len(row["interval"]) == 2 for row in found["one"]["rows"])
