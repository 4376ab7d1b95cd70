"""``python -m research.imagination checkpoint=NAME keys=STORE mixed=STORE expert=STORE out=FOLDER [courses=64]``."""

import json
import sys
from pathlib import Path
from typing import Any

from research.imagination.measure import free_driving, load, name_of, one_step
from worldmodel import checkpoint
from worldmodel.devices import use_threads
from worldmodel.files import write_json


def main(words: list[str]) -> int:
    """Measure, print and write ``report.json``; what is there already from the same weights is kept."""
    given = dict(word.split("=", 1) for word in words)
    name, out = given["checkpoint"], Path(given["out"]) / "report.json"
    courses = int(given.get("courses", 64))
    use_threads(int(given.get("threads", 0)))
    weights = str(checkpoint.card(name)["sha256"])
    found: dict[str, Any] = json.loads(out.read_text()) if out.is_file() else {}
    if found.get("weights") != weights:
        found = {"checkpoint": name, "weights": weights, "command": f"python -m research.imagination {' '.join(words)}"}
    model = load(name)
    for kind in ("keys", "mixed", "expert"):
        if kind in given and kind not in found.setdefault("one_step", {}):
            found["one_step"][kind] = one_step(model, given[kind], courses) | {"data": name_of(given[kind])}
            write_json(out, found)
    for kind in ("keys", "mixed", "expert"):
        if kind in given and kind not in found.setdefault("free_driving", {}):
            found["free_driving"][kind] = free_driving(model, given[kind], courses)
            write_json(out, found)
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
