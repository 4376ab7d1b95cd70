"""What a campaign found, as JSON: one file a campaign, and one that sums them up."""

import json
import platform
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from worldmodel.assets import revision
from worldmodel.files import write_json

FOLDER = Path(__file__).resolve().parents[2] / "eval" / "reports" / "reliability"
OUT: list[Path] = []
"""Where a campaign that is under way writes what it has so far: it may be long."""
SHOWN = 20
"""Failures that are listed with their circumstances; all are counted."""


class Tally:
    """Counts of one campaign, by part."""

    def __init__(self, campaign: str) -> None:
        self.campaign, self.began = campaign, time.time()
        self.n: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.outcomes: dict[str, Counter[str]] = {}
        self.examples: list[str] = []

    def add(self, part: str, problem: str = "", outcome: str = "") -> None:
        """One trial; ``problem`` says what was wrong with what followed, ``outcome`` what did."""
        self.n[part] += 1
        if OUT and sum(self.n.values()) % 100 == 0:
            self.write(OUT[0])
        if outcome:
            self.outcomes.setdefault(part, Counter())[outcome] += 1
        if problem:
            self.failures[part] += 1
            if len(self.examples) < SHOWN:
                self.examples.append(f"{part}: {problem}"[:400])
            print(f"{part}: {problem}"[:400], file=sys.stderr, flush=True)

    def record(self) -> dict[str, Any]:
        parts = {
            part: {"n": self.n[part], "failures": self.failures[part]}
            | ({"outcomes": dict(self.outcomes[part])} if part in self.outcomes else {})
            for part in sorted(self.n)
        }
        words = [word for word in sys.argv[1:] if not word.startswith(("out=", "folder="))]
        return {
            "campaign": self.campaign,
            "command": " ".join(["python -m research.reliability", *words]),
            "n": sum(self.n.values()),
            "failures": sum(self.failures.values()),
            "parts": parts,
            "examples": self.examples,
            "code": revision(),
            "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
            "seconds": round(time.time() - self.began, 1),
        }

    def write(self, folder: Path) -> dict[str, Any]:
        """Write ``<campaign>.json`` into ``folder``, and the sum of all campaigns there."""
        folder.mkdir(parents=True, exist_ok=True)
        record = self.record()
        write_json(folder / f"{self.campaign}.json", record)
        summarize(folder)
        return record


def summarize(folder: Path = FOLDER) -> dict[str, Any]:
    """``report.json``: for each campaign its number of trials and failures, and the command that it came from."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        one = json.loads(path.read_text())
        if path.name != "report.json" and {"n", "failures"} <= one.keys():
            found[path.stem] = {key: one.get(key) for key in ("n", "failures", "command")}
    write_json(folder / "report.json", found)
    return found
