"""The expert there and back: once it has succeeded, what it did is done again backwards, then forwards, and so on.

Demonstrations end when the task does, so nothing in them shows what a hand that comes back finds. Here a can is put
down, taken up again where it stands, carried back, or missed and knocked over by then.
"""

from __future__ import annotations

from worldmodel.sims.base import ExpertStep

from .expert import Expert
from .scripted_play import Activity

TAIL, LATEST = 8, 150
"""Control steps after the success before it turns back, as demonstrations have; and when it turns at the latest."""


class Retrace(Expert):
    """The expert, then its own executed actions walked backwards and forwards for ever. Not a demonstration."""

    steps = 300
    """Control steps of an episode: 15 seconds."""

    def reset(self) -> None:
        """Forgets what was done; its pushes are those of the expert with the same seed."""
        super().reset()
        self._done: list[ExpertStep] = []
        self._count, self._left = 0, TAIL

    def act(self) -> ExpertStep:
        """The expert's action, or when it has turned back the executed one whose turn it is, as label as well."""
        if self._left and len(self._done) < LATEST:
            self._done.append(super().act())
            self._left -= self._env.success
            self._count += 1
            return self._done[-1]
        last = max(1, len(self._done) - 1)
        wave = self._count % (2 * last)
        self._count += 1
        again = self._done[min(wave, 2 * last - wave)].executed
        return ExpertStep(again.copy(), again.copy(), int(Activity.RETRACE))
