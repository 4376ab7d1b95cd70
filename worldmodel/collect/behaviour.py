"""Who moves the arm while recording: the expert, the expert pushed about, a player, random motion, or all in turn."""

from __future__ import annotations

from typing import Any

EXPERT, NOISY, PLAY, RANDOM, MIXED = "expert", "noisy", "play", "random", "mixed"
BEHAVIOURS = (EXPERT, NOISY, PLAY, RANDOM, MIXED)
MIXTURE = (PLAY, EXPERT, PLAY, NOISY, RANDOM)
"""What ``mixed`` does, in turns over the seeds of each task: two fifths play, a fifth of each of the others."""
STEPS = {PLAY: 160, RANDOM: 120}
"""Control steps of an episode that has no goal: 8 and 6 seconds."""


def turn(behaviour: str, number: int, tasks: int) -> str:
    """The behaviour of the ``number``-th seed, from 0, of a recipe with so many tasks that take turns themselves."""
    return MIXTURE[number // tasks % len(MIXTURE)] if behaviour == MIXED else behaviour


def actor(behaviour: str, env: Any, seed: int, noise: float) -> Any:
    """Whoever acts in ``env``; has ``reset()`` and ``act()``, as `worldmodel.envs.expert.Expert`."""
    from worldmodel.envs.expert import Expert  # here: only workers may load a simulator
    from worldmodel.envs.play import Play, Rough, Wander

    kinds = {EXPERT: Expert, NOISY: Rough, PLAY: Play, RANDOM: Wander}
    return kinds[behaviour](env, seed, noise=noise)
