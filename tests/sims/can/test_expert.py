"""The expert solves its tasks, recovers from pushes, and its labels stay clean."""

import numpy as np
import pytest

from worldmodel.schema import CONTROL_HZ
from worldmodel.sims.can import TASKS, make
from worldmodel.sims.can.expert import Expert, Phase
from worldmodel.sims.can.tasks import REST


def run_expert(env, seed, noise=0.0):
    """One episode from ``seed``: success and the number of control steps."""
    env.reset(seed=seed)
    expert = Expert(env, seed, noise)
    for step in range(1, round(env.task.seconds * CONTROL_HZ) + 1):
        _, _, success, truncated, _ = env.step(expert.act().executed)
        if success or truncated:
            return success, step
    return False, step


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_expert_solves_every_task(task, noise):
    env = make(task, render_images=False)
    runs = [run_expert(env, seed, noise) for seed in range(1000, 1012)]
    assert sum(success for success, _ in runs) >= 12 - (noise > 0)
    assert 25 <= np.median([steps for _, steps in runs]) <= 130


def trace(noise: float, seed: int = 3) -> list[tuple[np.ndarray, np.ndarray, int, np.ndarray, np.ndarray]]:
    env = make("place_can", render_images=False)
    env.reset(seed=seed)
    expert, rows, done = Expert(env, seed, noise), [], False
    while not done:
        step = expert.act()
        rows.append((step.label, step.executed, step.phase, env.scene.eef, env.scene.can_position))
        _, _, success, truncated, _ = env.step(step.executed)
        done = success or truncated
    assert success
    return rows


def test_phases_come_in_order_and_the_can_rises_straight():
    rows = trace(noise=0.0)
    phases = [row[2] for row in rows]
    changes = [phase for phase, last in zip(phases, [-1, *phases[:-1]], strict=True) if phase != last]
    assert changes == [phase for phase in Phase if phase != Phase.HOLD]
    lift = [can for _, _, phase, _, can in rows if phase == Phase.LIFT]
    assert np.ptp(lift, axis=0)[:2].max() < 0.022  # 2.05 cm under MuJoCo 3.5
    carry = [can for _, _, phase, _, can in rows if phase == Phase.CARRY]
    assert min(can[2] for can in carry) > REST + 0.10
    assert make("place_can").scene.bin.holds(*rows[-1][4][:2])


def test_labels_are_float32_within_reach_and_equal_to_executed_without_noise():
    env = make("place_can", render_images=False)
    for label, executed, _, eef, _ in trace(noise=0.0):
        assert label.dtype == np.float32
        assert label.shape == (4,)
        assert env.action_space.contains(label)
        assert np.array_equal(label, executed)
        assert np.linalg.norm(label[:3] - eef) < 0.026


def test_pushes_are_runs_of_difference_and_never_while_closing():
    rows = [row for seed in range(6) for row in trace(noise=1.0, seed=seed)]
    pushed = [not np.array_equal(label, executed) for label, executed, *_ in rows]
    assert 0.03 < np.mean(pushed) < 0.35
    assert not any(push for push, row in zip(pushed, rows, strict=True) if row[2] in (Phase.CLOSE, Phase.RELEASE))
    assert all(label[3] == executed[3] for label, executed, *_ in rows)


def test_same_seed_same_pushes():
    first, second = trace(noise=1.0), trace(noise=1.0)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(first, second, strict=True))


def test_expert_tries_again_after_a_drop():
    env = make("place_can", render_images=False)
    env.reset(seed=4)
    expert = Expert(env, 4)
    while (step := expert.act()).phase != Phase.LIFT or env.scene.can_position[2] < REST + 0.02:
        env.step(step.executed)
    for _ in range(8):
        env.step(np.append(env.scene.eef, -1.0))
    assert env.scene.can_position[2] < REST + 0.01
    assert expert.act().phase in (Phase.APPROACH, Phase.DESCEND, Phase.CLOSE)
    done = False
    while not done:
        _, _, success, truncated, _ = env.step(expert.act().executed)
        done = success or truncated
    assert success
