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
import time, torch, numpy as np
from worldmodel.policies.load import PolicyOptions, load_policy
torch.set_num_threads(1)
policy = load_policy("shipped", "place_can", PolicyOptions(8, device="cpu")).policy
seen = {f"observation.images.{camera}": np.zeros((1, 96, 96, 3), np.uint8) for camera in ("scene", "wrist")}
seen["observation.state"], taken = np.zeros((1, 4), np.float32), []
for _ in range(80):
    begun = time.process_time()
    policy.act(seen, np.zeros(1, np.int64))
    taken.append(1000 * (time.process_time() - begun))
print(sorted(taken[20:])[30])
"""


def milliseconds(checkout: Path) -> float:
    """Median processor time of one call in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", TIMED]
    run = subprocess.run(command, env=environment, cwd=checkout, capture_output=True, text=True, check=True)
    return float(run.stdout)


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
