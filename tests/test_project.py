"""The project's frame: a complete hashed lock without addresses, executable scripts, a checkpoint of bounded size."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_lock_has_hashes_and_no_addresses() -> None:
    assert "://" not in LOCK
    pins = re.findall(r"^[A-Za-z0-9._-]+==.*?(?=^[A-Za-z0-9]|\Z)", LOCK, flags=re.MULTILINE | re.DOTALL)
    assert len(pins) > 100
    assert not [pin.splitlines()[0] for pin in pins if "--hash=sha256:" not in pin]


def test_the_lock_covers_every_dependency() -> None:
    pinned = set(re.findall(r"^([A-Za-z0-9._-]+)==", LOCK, flags=re.MULTILINE))
    wanted = [
        *PROJECT["dependencies"],
        *(text for extra in PROJECT["optional-dependencies"].values() for text in extra),
    ]
    names = {re.split(r"[<>=\[ ]", text)[0].lower() for text in wanted}
    assert not names - pinned


def test_the_plugin_is_set_up_under_the_name_that_lerobot_looks_for() -> None:
    folder = ROOT / "plugins" / "lerobot_policy_worldmodel"
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == folder.name and (folder / folder.name / "__init__.py").is_file()
    assert project["version"] == PROJECT["version"]
    asked = [text for text in PROJECT["optional-dependencies"]["lerobot"] if text.startswith("lerobot[")]
    assert asked[0] in project["dependencies"], "the same LeRobot"
    assert f"plugins/{folder.name}" in (ROOT / "scripts" / "setup.sh").read_text()


@pytest.mark.parametrize(
    "script", [".ci/run", "scripts/setup.sh", "scripts/tiny.sh", "scripts/wheel.sh", "scripts/baselines.sh"]
)
def test_scripts_are_executable_and_parse(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    assert subprocess.run(["bash", "-n", ROOT / script]).returncode == 0


def test_what_is_committed_stays_small() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a checkout")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    sizes = {path: path.stat().st_size / 1e6 for path in files if path.is_file()}
    assert not [path for path, size in sizes.items() if size > 25], "larger than 25 MB"
    shipped = sum(size for path, size in sizes.items() if "checkpoints" in path.relative_to(ROOT).parts)
    assert shipped <= 25, f"checkpoints take {shipped:.0f} MB"
