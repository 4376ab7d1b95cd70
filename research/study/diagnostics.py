"""How representation losses went, and what to read them by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from research.study.table import Table

DIAGNOSTICS = (
    "align",
    "mean_direction",
    "identity",
    "asymmetry",
    "disperse",
    "external",
    "gradient_ratio",
    "ema_drift",
)


def diagnostics(table: Table) -> list[dict[str, Any]]:
    """Curves of the representation losses and of what to read them by, averaged over seeds and modes."""
    found = []
    for arm in table.arms:
        for size in table.sizes:
            for name in DIAGNOSTICS:
                rows = [row["curves"] for row in table.of(arm, size)]
                lines = [line for row in rows for key, line in row.items() if key.rpartition("/")[2] == name]
                if curve := _pooled(lines):
                    what = {"arm": arm, "demonstrations": size, "what": name, "last": curve[-1][1]}
                    found.append(what | {"curve": curve})
    return found


def _pooled(lines: Sequence[Sequence[Sequence[float]]], stretches: int = 10) -> list[list[float]]:
    """Mean step and mean value of all points in each of equal stretches of the run."""
    points = [(step, value) for line in lines for step, value in line]
    last = max((step for step, _ in points), default=1)
    parts: dict[int, list[tuple[float, float]]] = {}
    for step, value in sorted(points):
        parts.setdefault(int((step - 1) * stretches / last), []).append((step, value))
    return [np.mean(part, axis=0).round(4).tolist() for part in parts.values()]
