"""The simulation tests under other versions of MuJoCo, each in a folder of its own, found first."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from research.reliability.result import Tally

ROOT = Path(__file__).resolve().parents[2]
TESTS = ("tests/sims/can", "tests/sims/test_settled.py", "tests/sims/test_can_expert.py")


def run(versions: str = "3.5.0,newest 3,newest 4", folder: str = "") -> Tally:
    """One trial a test and version. versions: separated by commas; ``newest N`` is the last one of a major version.

    folder: where they are installed, or lie already.
    """
    tally, where = Tally("mujoco"), Path(folder or tempfile.mkdtemp())
    for version in versions.split(","):
        place = where / version.replace(" ", "_")
        name = (
            f"mujoco<{int(version[-1]) + 1},>={version[-1]}" if version.startswith("newest") else f"mujoco=={version}"
        )
        if not place.exists():
            install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(place), name]
            done = subprocess.run(install, capture_output=True, text=True, check=False)
            if done.returncode:
                tally.add(version, f"not to be had: {done.stderr.strip()[-160:]}")
                continue
            if found := [*place.glob("mujoco-4*.dist-info")]:  # three packages of one version, since 4.0: all at once
                number = found[0].name.removesuffix(".dist-info").removeprefix("mujoco-")
                shutil.rmtree(place)
                parts = [f"mujoco{part}=={number}" for part in ("", "-core", "-studio")]
                subprocess.run([*install[:-1], *parts], capture_output=True, check=True)
        _test(tally, version, place)
    return tally


def _test(tally: Tally, version: str, place: Path) -> None:
    env = os.environ | {"PYTHONPATH": f"{place}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
    which = [sys.executable, "-c", "import mujoco; print(mujoco.__version__)"]
    real = subprocess.run(which, env=env, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    words = [sys.executable, "-m", "pytest", "-q", "-rA", *TESTS]
    said = subprocess.run(words, env=env, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    for outcome, test in re.findall(r"^(PASSED|FAILED|ERROR) (\S+)", said, re.MULTILINE):
        tally.add(f"{version} ({real})", "" if outcome == "PASSED" else f"{outcome} {test}", outcome.lower())
    if not tally.n[f"{version} ({real})"]:
        tally.add(f"{version} ({real})", f"no test ran: {said[-200:]}")
