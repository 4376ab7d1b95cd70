"""Who moves the arm while recording: the expert, pushed about or there and back, a player, random motion, or a mix."""

from __future__ import annotations

from typing import Any

EXPERT, NOISY, PLAY, RANDOM, RETRACE, MIXED = "expert", "noisy", "play", "random", "retrace", "mixed"
BEHAVIOURS = (EXPERT, NOISY, PLAY, RANDOM, RETRACE, MIXED)
MIXTURE = (PLAY, EXPERT, PLAY, NOISY, RANDOM)
"""What ``mixed`` does, in turns over the seeds of each task: two fifths play, a fifth of each of the others."""
STEPS = {PLAY: 160, RANDOM: 120, RETRACE: 300}
"""Control steps of an episode that does not end with a goal: 8, 6 and 15 seconds."""


def turn(behaviour: str, number: int, tasks: int) -> str:
    """The behaviour of the ``number``-th seed, from 0, of a recipe with so many tasks that take turns themselves."""
    return MIXTURE[number // tasks % len(MIXTURE)] if behaviour == MIXED else behaviour


def actor(behaviour: str, env: Any, seed: int, noise: float) -> Any:
    """Whoever acts in ``env``; has ``reset()`` and ``act()``, as `worldmodel.sims.can.expert.Expert`."""
    from worldmodel.sims.can.expert import Expert  # here: only workers may load a simulator
    from worldmodel.sims.can.play import Play, Rough, Wander
    from worldmodel.sims.can.retrace import Retrace

    kinds = {EXPERT: Expert, NOISY: Rough, PLAY: Play, RANDOM: Wander, RETRACE: Retrace}
    return kinds[behaviour](env, seed, noise=noise)
