"""``python -m research.reliability NAME n=... seed=... out=...``: a campaign; ``report`` sums up what there is."""

import importlib
import sys
from pathlib import Path

from research.reliability.result import FOLDER, OUT, summarize

CAMPAIGNS = ("kill", "damage", "fuzz", "mujoco", "golden")


def main(words: list[str]) -> int:
    """0 where nothing failed, 1 where something did, 2 for an unknown campaign."""
    name, options = (words[0] if words else ""), dict(word.split("=", 1) for word in words[1:])
    out = Path(options.pop("out", FOLDER))
    if name == "report":
        print(summarize(out))
        return 0
    if name not in CAMPAIGNS:
        print(f"{name or 'nothing'}: no campaign; expected report, {', '.join(CAMPAIGNS)}", file=sys.stderr)
        return 2
    OUT[:] = [out]
    numbers = {key: int(value) for key, value in options.items() if value.isdigit()}
    texts = {key: value for key, value in options.items() if not value.isdigit()}
    tally = importlib.import_module(f"research.reliability.{name}").run(**numbers, **texts)
    record = tally.write(out)
    print(f"{name}: {record['n']} trials, {record['failures']} failures, {record['seconds']} s")
    return int(record["failures"] > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
