"""What became of the can in recorded episodes, read from a store: ``python scripts/outcomes.py STORE``."""

from __future__ import annotations

import sys
from collections import defaultdict

import numpy as np

from worldmodel.data import EpisodeStore
from worldmodel.schema import ENVIRONMENT_STATE, STATE, Episode

KINDS = ("moved", "knocked over", "grasped", "dropped", "lost")
SOON = 10
"""Control steps within which a can that was let go of must have fallen."""


def happened(episode: Episode) -> dict[str, bool]:
    """Whether the can was, at some step: moved (1 cm), knocked over, held in the air, dropped; and lost at the end.

    Knocked over: more than 60 degrees off upright. Dropped: held 4 cm up, then not, and 2 cm lower within half a
    second. Lost: beyond the workspace, where the arm does not reach. Raises ValueError without privileged state.
    """
    if ENVIRONMENT_STATE not in episode.arrays:
        raise ValueError(f"episode of seed {episode.seed} has no {ENVIRONMENT_STATE!r}, which says where the can is")
    privileged, state = episode.arrays[ENVIRONMENT_STATE], episode.arrays[STATE]
    can, (_, x, y, _) = privileged[:, :3], privileged[:, 3:7].T
    upright, raised = np.abs(1 - 2 * (x**2 + y**2)), can[:, 2] - can[0, 2]
    near = (np.hypot(*(state[:, :2] - can[:, :2]).T) < 0.03) & (np.abs(state[:, 2] - can[:, 2]) < 0.08)
    held = near & (state[:, 3] > 0.05) & (state[:, 3] < 0.08) & (raised > 0.015)
    dropped = any(
        held[t] and raised[t] > 0.04 and not held[t + 1 : t + 4].any() and can[t, 2] - can[t : t + SOON, 2].min() > 0.02
        for t in range(len(held) - 3)
    )
    last = can[-1]
    return {
        "moved": bool((np.linalg.norm(can - can[0], axis=1) > 0.01).any()),
        "knocked over": bool((upright < 0.5).any()),
        "grasped": bool(held.any()),
        "dropped": dropped,
        "lost": not (0.33 < last[0] < 0.67 and -0.33 < last[1] < 0.26),
    }


def table(store: EpisodeStore) -> dict[str, dict[str, float]]:
    """Per behaviour: "episodes", "steps" (mean), "success" and each of `KINDS` as a share of its episodes."""
    rows: dict[str, list[dict[str, float]]] = defaultdict(list)
    for index in range(store.episodes):
        episode = store.episode(index)
        row: dict[str, float] = {"steps": len(episode), "success": episode.success, **happened(episode)}
        rows[str(episode.info.get("behaviour", "expert"))].append(row)
    return {
        name: {"episodes": len(each), **{key: float(np.mean([row[key] for row in each])) for key in each[0]}}
        for name, each in sorted(rows.items())
    }


def main(words: list[str]) -> int:
    """Print the table of a store as Markdown."""
    if len(words) != 1:
        print("usage: python scripts/outcomes.py STORE", file=sys.stderr)
        return 2
    print(f"| behaviour | episodes | steps, mean | success | {' | '.join(KINDS)} |")
    print("| --- " * (4 + len(KINDS)) + "|")
    for name, row in table(EpisodeStore.open(words[0])).items():
        shares = " | ".join(f"{100 * row[key]:.0f} %" for key in ("success", *KINDS))
        print(f"| {name} | {row['episodes']:.0f} | {row['steps']:.0f} | {shares} |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
