"""What one check of a store found: a line for people, a record for machines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from worldmodel.data import EpisodeStore

OK, WARN, FAIL, SKIPPED = "ok", "warn", "fail", "skipped"
"""Nothing found; a person should look; do not train on it as it is; could not be checked (``seen`` says why)."""
SHOWN = 8
"""Episodes named in a line; the record holds all of them."""


@dataclass(frozen=True)
class Finding:
    """One check: its ``verdict``, what was ``seen``, which ``episodes`` it concerns and what to do (``advice``)."""

    check: str
    verdict: str
    seen: str
    episodes: tuple[int, ...] = ()
    advice: str = ""

    def record(self) -> dict[str, Any]:
        """The finding as JSON."""
        return asdict(self) | {"episodes": list(self.episodes)}

    def named(self) -> str:
        """The first few episodes, and how many more there are."""
        more = f" and {len(self.episodes) - SHOWN} more" if len(self.episodes) > SHOWN else ""
        return ", ".join(map(str, self.episodes[:SHOWN])) + more


def worst(findings: Iterable[Finding]) -> str:
    """The verdict on all of them: fail before warn before ok."""
    verdicts = {finding.verdict for finding in findings}
    return next((verdict for verdict in (FAIL, WARN) if verdict in verdicts), OK)


def episodes_of(store: EpisodeStore, steps: Sequence[int] | np.ndarray) -> tuple[int, ...]:
    """The episodes in which the ``steps`` (indices into concatenated time) lie, each once, in order."""
    return tuple(np.unique(np.searchsorted(store.ends, np.asarray(steps, np.int64), side="right")).tolist())


def percent(part: float | np.number, whole: float | np.number) -> str:
    """``3.2 %``, with enough digits that something never looks like nothing."""
    share = 100 * part / whole if whole else 0.0
    return f"{share:.1f} %" if share >= 0.1 or not part else "under 0.1 %"
