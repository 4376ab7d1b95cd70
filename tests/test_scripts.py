"""The scripts that no other test runs: every use that is promised is there."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_gpu_script_has_what_its_head_promises() -> None:
    text = (ROOT / "scripts/gpu.sh").read_text()
    promised = re.findall(r"^#   scripts/gpu.sh (\w+)", text, flags=re.MULTILINE)
    shown = subprocess.run(
        ["bash", "-c", "source scripts/gpu.sh; declare -F; declare -f all"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    functions = set(re.findall(r"^declare -f (\w+)", shown, flags=re.MULTILINE))
    assert len(promised) == 6 and functions >= {*promised, "recording", "pace"}
    assert all(re.search(rf"^    {name} ", shown, flags=re.MULTILINE) for name in ("collect", "train"))
