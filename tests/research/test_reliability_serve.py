"""A tenth of the campaigns against `worldmodel serve`: fuzz, kill -9, and a short soak, on a small model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from policy_serving import POLICIES
from small import small_model

from research.reliability import fuzz_messages, soak
from worldmodel import checkpoint

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"checkpoint={checkpoint.save(small_model(), tmp_path_factory.mktemp('reliability') / 'model', {})}"


def test_malformed_messages(model: str, tmp_path: Path) -> None:
    out = tmp_path / "fuzz.json"
    assert fuzz_messages.main([f"out={out}", model, "size=32", "messages=1000", "seed=1"]) == 0
    assert json.loads(out.read_text())["n"] == 1000


def test_kills(tmp_path: Path) -> None:
    out = tmp_path / "kill.json"
    options = [f"checkpoint=python:{POLICIES}:Counts", "size=32", "kills=10", "seconds=0.5", "seed=1"]
    command = [sys.executable, "-m", "research.reliability.kill_serve", f"out={out}", *options]
    assert subprocess.run(command, cwd=ROOT).returncode == 0  # it forks, which this process had better not
    found = json.loads(out.read_text())
    assert found["n"] == 10 and found["lost"] == 0 and found["in_the_store"] >= found["episodes"] > 0


def test_a_short_soak(model: str, tmp_path: Path) -> None:
    """Its bar for memory is wider: a tenth of half a minute is a few samples."""
    found = soak.soak(soak.SoakConfig("", 0.4, model.partition("=")[2], 32, False), tmp_path)
    assert found["n"] > 20 and not any(found["tracebacks"].values()) and not any(found["exit_codes"].values())
    assert found["longest_stall_s"]["robots"] < soak.STALL and found["clients"]["robots"]["errors"] == 0
    assert found["memory"]["serve"]["growth"] < 0.05


def test_a_broken_bar_is_counted() -> None:
    found = {
        "memory": {"serve": {"growth": 0.03}},
        "longest_stall_s": {"robots": 2.5},
        "clients": {"robots": {"errors": 1}},
        "exit_codes": {"serve": 0},
        "tracebacks": {"serve": 0},
        "clients_that_ended": ["good_robot: gone"],
    }
    assert soak.failures_of(found) == 4
