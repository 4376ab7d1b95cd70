"""Players do what they say, to real physics: cans fall, fly and slide; and the same seed plays the same game."""

import numpy as np
import pytest

from worldmodel.sims.can import make
from worldmodel.sims.can.expert import Expert, Phase
from worldmodel.sims.can.scripted_play import LATEST, SHARES, TAIL, Activity, Play, Retrace, Rough, Wander
from worldmodel.sims.can.tasks import REST


@pytest.fixture(scope="module")
def env():
    return make("place_can", render_images=False)


def trace(env, who, seed, steps):
    """Per step: activity, label, executed, can's position, |z| of its axis, pads that touch it."""
    env.reset(seed=seed)
    player, rows = who(env, seed, 1.0), []
    for _ in range(steps):
        act = player.act()
        env.step(act.executed)
        scene = env.scene
        rows.append((act.phase, act.label, act.executed, scene.can_position, abs(scene.can_axis[2]), scene.touching))
    return rows


def test_play_moves_topples_lifts_and_loses_the_can(env):
    games = [trace(env, Play, seed, 160) for seed in range(12)]
    seen = {row[0] for rows in games for row in rows}
    assert seen == set(map(int, SHARES)), "every activity within a dozen games"
    assert not seen & set(map(int, Phase)), "numbers of their own"
    assert sum(any(row[4] < 0.5 for row in rows) for rows in games) >= 5, "knocked over"
    assert sum(any(row[5] == 2 and row[3][2] > REST + 0.015 for row in rows) for rows in games) >= 5, "grasped"
    assert all(np.isfinite(row[3]).all() and np.abs(row[3]).max() < 3 for rows in games for row in rows)
    for row in games[0]:
        assert np.array_equal(row[1], row[2]) and row[1].dtype == np.float32, "what it wants is what is done"
        assert env.action_space.contains(row[1])


def test_random_motion_is_smooth_and_stays_inside(env):
    rows = trace(env, Wander, 5, 120)
    assert {row[0] for row in rows} == {int(Activity.WANDER)}
    targets = np.array([row[2] for row in rows])
    assert all(env.action_space.contains(target) for target in targets)
    assert np.ptp(targets[:, :3], axis=0).max() > 0.1, "it gets about"
    assert np.linalg.norm(np.diff(targets[:, :3], axis=0), axis=1).max() < 0.08
    assert np.ptp(targets[:, 3]) > 0.5 and np.abs(np.diff(targets[:, 3])).max() < 0.7


def test_the_rough_expert_is_pushed_more_and_fails_more(env):
    pushed = {
        who: np.mean([(r[1] != r[2]).any() for s in range(6) for r in trace(env, who, s, 80)])
        for who in (Expert, Rough)
    }
    assert 2 * pushed[Expert] < pushed[Rough] < 0.7
    rows = [row for seed in range(6) for row in trace(env, Rough, seed, 80)]
    assert any(row[1][3] != row[2][3] for row in rows), "and made to let go"


def test_the_expert_walks_back_what_it_did_and_there_again(env):
    """As a long dream is led: there to a little after the success, back to the first step, and there again."""
    demonstrated, rows = trace(env, Expert, 3, 80), trace(env, Retrace, 3, 300)
    there = next(n for n, row in enumerate(rows) if row[0] == Activity.RETRACE)
    assert TAIL < there < LATEST
    assert all(np.array_equal(a[2], b[2]) for a, b in zip(demonstrated[: there - TAIL], rows, strict=False))
    sent = np.array([row[2] for row in rows])
    cycle = np.concatenate([np.arange(there), np.arange(there - 2, 0, -1)])
    assert np.array_equal(sent, sent[np.resize(cycle, len(sent))])
    assert all(np.array_equal(row[1], row[2]) for row in rows[there:]), "the way back is nobody's demonstration"


def test_on_its_way_back_the_can_is_mostly_taken_up_again(env):
    again = 0
    for seed in range(6):
        rows = trace(env, Retrace, seed, 200)
        there = next(n for n, row in enumerate(rows) if row[0] == Activity.RETRACE)
        again += any(row[5] == 2 and row[3][2] > REST + 0.05 for row in rows[there:])
    assert again >= 3


def test_an_expert_that_never_succeeds_turns_back_too(env):
    env.reset(seed=0)
    player = Retrace(env, 0, 0.0)
    acts = [player.act() for _ in range(LATEST + 2)]  # nothing moves
    assert [act.phase == Activity.RETRACE for act in acts[-3:]] == [False, True, True]


@pytest.mark.parametrize("who", [Play, Wander, Rough, Retrace])
def test_the_same_seed_plays_the_same_game(env, who):
    first, second = trace(env, who, 3, 60), trace(env, who, 3, 60)
    assert all(np.array_equal(a[2], b[2]) for a, b in zip(first, second, strict=True))
    other = trace(env, who, 4, 60)
    assert any(not np.array_equal(a[2], b[2]) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("task", ["lift_can", "place_can_anywhere"])
def test_it_plays_in_every_scene(task):
    env = make(task, render_images=False)
    assert all(np.isfinite(row[3]).all() for row in trace(env, Play, 0, 120))
