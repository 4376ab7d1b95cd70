"""What a scorecard rests on: every number per window, so that any average can be taken later."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from worldmodel.imagine.score.gallery import Gallery
from worldmodel.imagine.score.windows import ScoreWindows

SOURCES = {"imagined": "forward", "no_action": "video"}
"""Where imagined frames come from, and the mode that it takes; beside them ``copied``, the last frame seen."""


@dataclass
class Measured:
    """What was found. ``values``: arrays with one row per window of ``plan.chosen``, as many as were measured.

    ``valid`` (W, K): the frame lies inside the episode. ``<source>.squared``, ``.ssim`` (W, K, C) and, where pixels are
    known, ``.parts`` with ``parts.pixels``; ``<source>.lpips`` (W, M, C) at the marks. ``policy``, ``staying``:
    absolute errors (W, H, A), ``known`` (W, H): the step could be foreseen. ``inverse.<what>``: distances (W, H).
    ``sensitivity`` (W, 2, C): see `action_sensitivity`.
    """

    plan: ScoreWindows
    values: dict[str, np.ndarray]
    width: np.ndarray
    gallery: Gallery
    notes: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
