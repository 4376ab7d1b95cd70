"""One episode of an expert or of a player: what it saw, what it wanted, what was sent, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from worldmodel.collect.config import CollectionSpec
from worldmodel.rollout import BatchedPolicy, BatchedRollout, EpisodeRecorder, LocalSlots, history_of
from worldmodel.schema import ACTION, EXECUTED, SIMULATOR_STATE, Arrays, Episode, Policy
from worldmodel.sims.base import Demonstrates, InitialState, Simulator
from worldmodel.sims.slot import Ending, Slot

PHASE = "phase"


class ExpertPolicy:
    """An expert in the closed loop: looks at the simulator, not at observations, and wants one action at a time."""

    prefix = 0

    def __init__(self, expert: Demonstrates) -> None:
        self.expert, self.begun = expert, False

    def act(self, observations: list[Arrays], seeds: list[int], committed: Sequence[Any] | None = None) -> np.ndarray:
        """The action to be sent, (1, 1, A)."""
        if not self.begun:
            self.expert.reset()
        self.begun, self.last = True, self.expert.act()
        return np.asarray(self.last.executed)[None, None]

    def values(self, action: np.ndarray) -> dict[str, Any]:
        return {ACTION: self.last.label, EXECUTED: self.last.executed, PHASE: np.int8(self.last.phase)}


class LearnedPolicy(BatchedPolicy):
    """A checkpoint that demonstrates, chunk by chunk, as it is evaluated."""

    def __init__(self, policy: Policy, simulator: Simulator) -> None:
        super().__init__(policy, 1)
        self.simulator = simulator

    def values(self, action: np.ndarray) -> dict[str, Any]:
        """What is recorded of the action under way, clipped to its range as the env clips it."""
        sent = self.simulator.allowed(action)
        return {ACTION: sent, EXECUTED: sent, PHASE: np.int8(0)}


def demonstrate(simulator: Simulator, recipe: CollectionSpec, seed: int, policy: Policy | None = None) -> Episode:
    """The episode of ``seed``, successful or not, of the recipe's expert or of a ``policy`` instead.

    Every step holds the observation, the clean action wanted ("action"), the action sent ("action.executed"), the
    expert's phase (int8) and the complete simulator state (float64) where the simulator has it. It ends ``tail``
    steps after the first success, by the time limit, or after so many steps as an expert without a goal says.
    """
    behaviour, ending, n_action_steps = recipe.behaviour_of(seed), Ending(recipe.tail), 1
    actor: ExpertPolicy | LearnedPolicy
    if policy is not None:
        actor, n_action_steps = LearnedPolicy(policy, simulator), getattr(policy, "n_action_steps", policy.chunk_size)
    else:
        expert = simulator.expert(seed, recipe.noise, behaviour, recipe.expert)
        assert expert is not None, f"{simulator.info.task} has no expert"
        actor, length = ExpertPolicy(expert), getattr(expert, "steps", None)
        ending = ending if length is None else Ending(steps=length, free=True)
    recording, random = EpisodeRecorder(), np.random.default_rng([seed, 23])

    def record(step: int, observation: Arrays, action: np.ndarray) -> None:
        state = simulator.get_state()
        known = {} if state is None else {SIMULATOR_STATE: np.asarray(state)}
        recording.add(observation, **actor.values(action), **known)

    slot = Slot(simulator, history_of(policy), ending=ending, on_step=record)
    seeds = lambda start, decision: int(random.integers(2**62, size=1)[0])  # noqa: E731
    BatchedRollout(actor, LocalSlots([slot]), n_action_steps, seeds).run([InitialState(0, seed)], lambda result: None)
    info = {"success_step": slot.first_success, **({"behaviour": behaviour} if recipe.keeps_all else {})}
    return recording.episode(recipe.task_of(seed), seed, slot.first_success is not None, info)
