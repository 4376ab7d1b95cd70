"""How fast a policy acts in this checkout and in another: python scripts/paired.py OTHER_CHECKOUT [PAIRS].

Processes of the two take turns, one thread each; processor time of `act` on one observation, the median of 60 calls
after 20. Prints each pair and the median of their ratios, this checkout over the other one.
"""

import os
import statistics
import subprocess
import sys
from pathlib import Path

TIMED = """
import time, torch
from worldmodel import checkpoint
from worldmodel.model.records import Given
torch.set_num_threads(1)
model = checkpoint.load("shipped").compute_in(torch.bfloat16)
frames = torch.zeros(1, 2, 96, 96, 3, dtype=torch.uint8)
given, taken = Given(frames, torch.zeros(1, 4), torch.zeros(1, dtype=torch.int64)), []
for _ in range(80):
    begun = time.process_time()
    model.act(given)
    taken.append(1000 * (time.process_time() - begun))
print(sorted(taken[20:])[30])
"""


def milliseconds(checkout: Path) -> float:
    """Median processor time of one call in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", TIMED]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def main(other: str, pairs: str = "6") -> None:
    """Time both in turns."""
    here, ratios = Path(__file__).resolve().parents[1], []
    for _ in range(int(pairs)):
        theirs, ours = milliseconds(Path(other).resolve()), milliseconds(here)
        ratios.append(ours / theirs)
        print(f"{ours:.2f} ms here, {theirs:.2f} ms there: {ratios[-1]:.3f}")
    print(f"median of {len(ratios)}: {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main(*sys.argv[1:])
