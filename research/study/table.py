"""Rows of one report as a table by arm, size of data and seed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from research.study.arms import ARMS
from research.study.rows import Row
from worldmodel.config import UserError

SHARED = ("task", "steps", "batch", "episodes", "curve_episodes", "data", "starts")
"""Settings that rows of one report have in common."""


class Table:
    """Rows by arm, size of data and seed."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = [row for row in rows if "checkpoints" in row]
        order = list(ARMS)
        self.arms = sorted({row["arm"] for row in self.rows}, key=lambda arm: order.index(arm) if arm in order else 99)
        self.sizes = sorted({row["demonstrations"] for row in self.rows})
        self.seeds = sorted({row["seed"] for row in self.rows})
        self._rows = {(row["arm"], row["demonstrations"], row["seed"]): row for row in self.rows}
        for row in self.rows[1:]:
            for key in SHARED:
                if key == "steps" and any(matched(one) for one in (row, self.rows[0])):
                    continue
                if row["settings"].get(key) != self.rows[0]["settings"].get(key):
                    raise UserError(f"rows of {row['arm']} and {self.rows[0]['arm']} differ in {key}; they do not mix")

    def get(self, arm: str, size: int, seed: int) -> Row | None:
        """The row of a cell."""
        return self._rows.get((arm, size, seed))

    def of(self, arm: str, size: int) -> list[Row]:
        """Rows of an arm at one size, by seed."""
        return [row for seed in self.seeds if (row := self.get(arm, size, seed))]

    def both(self, first: str, second: str, sizes: Sequence[int]) -> tuple[list[list[Row]], list[list[Row]]]:
        """Rows of a pair of arms, [seed][size], of the seeds for which both have every one of the sizes."""
        whole = [
            seed
            for seed in self.seeds
            if sizes and all(self.get(arm, size, seed) for arm in (first, second) for size in sizes)
        ]
        one, two = ([[self._rows[arm, size, seed] for size in sizes] for seed in whole] for arm in (first, second))
        return one, two

    def shared_sizes(self, first: str, second: str) -> list[int]:
        """Sizes that some seed has of both arms."""
        return [size for size in self.sizes if any(self.both(first, second, [size]))]


def matched(row: Row) -> bool:
    """Whether a row's arm has a length of its own."""
    return row["arm"] in ARMS and ARMS[row["arm"]].matched
