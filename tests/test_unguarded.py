"""Scripts without a main guard, on stdin or as a file, and paths that begin at home."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from worldmodel.data.source import split_names
from worldmodel.settings import load
from worldmodel.train.config import TrainConfig

SCRIPT = """
from worldmodel.collect import CollectConfig, collect
print("begun")
print("rc", collect(CollectConfig(out="store", task="lift_can", episodes=1, size=32, workers="1")))
"""


@pytest.mark.parametrize("as_file", [True, False], ids=["file", "stdin"])
def test_worker_processes_need_no_main_guard(as_file: bool, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    words = [sys.executable, "script.py"] if as_file else [sys.executable, "-"]
    done = subprocess.run(words, input=SCRIPT, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "rc 0" and done.stdout.count("begun") == 1


def test_a_path_may_begin_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    found = load("train", TrainConfig, ["out=~/run", "data=~/a,lerobot:~/b,c~/d"])
    assert found.out == f"{tmp_path}/run" and found.data == f"{tmp_path}/a,lerobot:{tmp_path}/b,c~/d"


def test_a_comma_in_a_path_separates_nothing(tmp_path: Path) -> None:
    for name in ("a", "b,c", "d"):
        (tmp_path / name).mkdir()
    paths = [f"{tmp_path}/a", f"{tmp_path}/b,c", f"lerobot:{tmp_path}/d", "x"]
    assert split_names(",".join(paths)) == paths


def test_a_terminal_of_ascii_is_no_error(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "worldmodel.cli", "data", "info", str(tmp_path / "ünbekannt")]
    done = subprocess.run(words, env=os.environ | {"PYTHONIOENCODING": "ascii"}, capture_output=True, text=True)
    assert done.returncode == 2 and "\\xfcnbekannt" in done.stderr and "codec" not in done.stderr
