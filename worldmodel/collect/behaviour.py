"""Who moves the robot while recording: the simulator's behaviours, or a mix of them."""

from __future__ import annotations

from worldmodel.sims.base import EXPERT, NOISY, PLAY, RANDOM, RETRACE

MIXED = "mixed"
BEHAVIOURS = (EXPERT, NOISY, PLAY, RANDOM, RETRACE, MIXED)
MIXTURE = (PLAY, EXPERT, PLAY, NOISY, RANDOM)
"""What ``mixed`` does, in turns over the seeds of each task: two fifths play, a fifth of each of the others."""


def turn(behaviour: str, number: int, tasks: int) -> str:
    """The behaviour of the ``number``-th seed, from 0, of a recipe with so many tasks that take turns themselves."""
    return MIXTURE[number // tasks % len(MIXTURE)] if behaviour == MIXED else behaviour
