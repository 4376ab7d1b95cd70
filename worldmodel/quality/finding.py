"""What is checked, and what one check of it found: a line for people, a record for machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from worldmodel.data import EpisodeStore
from worldmodel.quality.frames import Track

OK, WARN, FAIL, SKIPPED = "ok", "warn", "fail", "skipped"
"""Nothing found; a person should look; do not train on it as it is; could not be checked (``seen`` says why)."""
SHOWN = 8  # Episodes named in a line; the record holds all of them


@dataclass(frozen=True)
class Subject:
    """A store under check, what was kept of its cameras' frames, and lowest and highest action where they are known."""

    store: EpisodeStore
    tracks: Mapping[str, Track]
    limits: tuple[Sequence[float], Sequence[float]] | None = None
    _rows: dict[str, np.ndarray] = field(default_factory=dict)

    def rows(self, key: str) -> Float64[np.ndarray, "T n"]:
        """An array over all steps, flattened to one row of numbers per step."""
        if key not in self._rows:
            self._rows[key] = np.asarray(self.store.array(key)[:], np.float64).reshape(self.store.steps, -1)
        return self._rows[key]

    @cached_property
    def inside(self) -> Bool[np.ndarray, " gaps"]:
        """Which pairs of consecutive steps belong to one episode."""
        within = np.ones(self.store.steps - 1, bool)
        within[self.store.ends[:-1] - 1] = False
        return within

    def keys(self, *wanted: str) -> list[str]:
        return [key for key in wanted if key in self.store.keys]

    def episodes(self, steps: np.ndarray) -> tuple[int, ...]:
        """The episodes with a True among ``steps`` (one per step, or per gap), in order."""
        return tuple(np.unique(np.searchsorted(self.store.ends, np.flatnonzero(steps), side="right")).tolist())


@dataclass(frozen=True)
class Finding:
    """One check: its ``verdict``, what was ``seen``, which ``episodes`` it concerns and what to do (``advice``)."""

    verdict: str
    seen: str
    episodes: tuple[int, ...] = ()
    advice: str = ""
    check: str = ""

    def record(self) -> dict[str, Any]:
        return asdict(self) | {"episodes": list(self.episodes)}

    def named(self) -> str:
        """The first few episodes, and how many more there are."""
        more = f" and {len(self.episodes) - SHOWN} more" if len(self.episodes) > SHOWN else ""
        return ", ".join(map(str, self.episodes[:SHOWN])) + more


def worst(findings: Iterable[Finding]) -> str:
    """The verdict on all of them: fail before warn before ok."""
    verdicts = {finding.verdict for finding in findings}
    return next((verdict for verdict in (FAIL, WARN) if verdict in verdicts), OK)


def percent(part: float | np.number, whole: float | np.number) -> str:
    """``3.2 %``, with enough digits that something never looks like nothing."""
    share = 100 * part / whole if whole else 0.0
    return f"{share:.1f} %" if share >= 0.1 or not part else "under 0.1 %"
