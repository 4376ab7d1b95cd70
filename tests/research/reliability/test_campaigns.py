"""A share of each campaign, and files that this version wrote for all later ones."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from research.reliability import damage, fuzz, result
from research.reliability.__main__ import main
from worldmodel import checkpoint
from worldmodel.data import EpisodeStore
from worldmodel.data.verification import verify
from worldmodel.evaluate.initial_states import Starts

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "golden"


@pytest.mark.parametrize("part", ["save", "convert", "train"])
def test_kills_lose_nothing(part: str, tmp_path: Path) -> None:
    """In a process of its own: it forks, and changes how processes are started."""
    words = [sys.executable, "-m", "research.reliability", "kill", f"only={part}", "n=6", "seed=7", f"out={tmp_path}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    record = json.loads((tmp_path / f"kill_{part}.json").read_text())
    assert record["n"] == 6 and record["failures"] == 0 and "kill only=" in record["command"]
    assert json.loads((tmp_path / "report.json").read_text())[f"kill_{part}"]["n"] == 6


def test_damage_is_named() -> None:
    tally = damage.run(n=120, seed=7)
    assert sum(tally.n.values()) > 90 and not tally.examples


@pytest.mark.parametrize("part", fuzz.PARTS)
def test_odd_inputs_are_one_line(part: str) -> None:
    tally = fuzz.run(n=60, seed=7, only=part)
    assert tally.n[part] == 60 and not tally.examples


def test_a_campaign_without_a_name_says_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kil"]) == 2
    assert "kill, damage, fuzz" in capsys.readouterr().err


def test_reports_are_summed_up(tmp_path: Path) -> None:
    tally = result.Tally("kill_x")
    tally.add("x", outcome="ok")
    tally.add("x", "lost an episode")
    tally.write(tmp_path)
    found = result.summarize(tmp_path)
    assert found["kill_x"]["n"] == 2 and found["kill_x"]["failures"] == 1 and found["kill_x"]["command"]


def test_what_this_version_wrote_is_loaded_by_all_later_ones() -> None:
    """The files are never made again: should this fail, old data have been lost."""
    store = EpisodeStore.open(GOLDEN / "store")
    assert verify(store.path) == [] and (store.episodes, store.steps) == (2, 24)
    assert store.fingerprint == "9c6bd1e570594bcda65ce420ba8719046391c930a970c5cd324df985efeb70df"
    model = checkpoint.load(GOLDEN / "model")
    assert model.config.size == 16 and model.config.cameras == ("scene", "wrist")
    total = sum(float(value.double().abs().sum()) for value in model.state_dict().values())
    assert abs(total - 2904.633) < 0.1 and checkpoint.trained_modes(GOLDEN / "model") == ("policy",)
    starts = Starts.load(GOLDEN / "starts.npz")
    assert starts.sha256 == "72af88f9e45a131b9248937fc199015b1b6f539dd3a7002ef0ee7788c9d7dcbb"
    files = [path for path in GOLDEN.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 300_000
