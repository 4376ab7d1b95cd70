"""A rollout executes part of each chunk, looks again, and records what it saw and did."""

import counting
import numpy as np
import pytest

from worldmodel.rollout import rollout
from worldmodel.schema import ACTION


@pytest.mark.parametrize("execute", [1, 3, 6])
def test_chunks_are_executed_in_part_and_in_order(execute):
    policy, seen = counting.CountingPolicy(), []
    episode = rollout(
        policy, counting.CountingEnv(), 9, n_action_steps=execute, on_step=lambda *step: seen.append(step)
    )
    counting_length = counting.length_of(9)
    assert episode.success and len(episode) == counting_length == len(seen)
    assert policy.asked == list(range(0, counting_length, execute))
    assert episode.info["chunks"] == len(policy.asked) == len(episode.info["act_ms"])
    for step, (number, observation, action) in enumerate(seen):
        assert number == step
        np.testing.assert_array_equal(observation[counting.SCENE], counting.frame_at(9, step, 0, 8))
        np.testing.assert_array_equal(action, counting.action_at(9, step))
        np.testing.assert_array_equal(episode.arrays[ACTION][step], action)
        np.testing.assert_array_equal(episode.arrays[counting.WRIST][step], counting.frame_at(9, step, 1, 8))


def test_it_starts_from_a_state_and_takes_the_policys_own_execute():
    policy = counting.CountingPolicy(n_action_steps=2)
    episode = rollout(policy, counting.CountingEnv(), np.array([6.0, 4.0]))
    assert policy.asked == [4, 6, 8, 10] and len(episode) == counting.length_of(6) - 4


def test_it_ends_at_max_steps_or_the_time_limit():
    assert len(rollout(counting.CountingPolicy(), counting.CountingEnv(), 1, max_steps=4)) == 4
    failed = rollout(counting.CountingPolicy(), counting.CountingEnv(), 3)
    assert not failed.success and len(failed) == 40


@pytest.mark.parametrize("execute", [0, 7])
def test_a_wrong_execute_is_refused(execute):
    with pytest.raises(ValueError, match=f"n_action_steps={execute}: expected 1 to 6"):
        rollout(counting.CountingPolicy(), counting.CountingEnv(), 1, n_action_steps=execute)
