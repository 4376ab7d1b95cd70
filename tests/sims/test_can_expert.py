"""The expert for robosuite's can, on a stand-in whose hand obeys and whose can follows closed fingers."""

from types import SimpleNamespace

import numpy as np
import pytest
from rotations import xyzw_from_matrix

from worldmodel.data.formats.conventions import (
    matrix_from_axis_angle,
    matrix_from_six,
    matrix_from_xyzw,
)
from worldmodel.sims.robosuite.expert import BIN, OSC, PHASES, CanExpert, CanPlan, Pushes


class Kinematic:
    """No physics: an action moves the hand by the share that OSC reaches; a can between closed fingers comes along."""

    def __init__(self, slips=False, actions="delta", share=0.6):
        self.config = SimpleNamespace(actions=actions)
        self.hand, self.can = np.array([-0.03, -0.1, 1.0]), np.array([0.05, -0.3, 0.86])
        self.site = matrix_from_axis_angle(np.array([3.1, 0.1, 0]))
        self.closed, self.slips, self.share = 0, slips, share

    def privileged(self):
        quat = xyzw_from_matrix(self.site)
        return {"robot0_eef_pos": self.hand.copy(), "robot0_eef_quat_site": quat, "Can_pos": self.can.copy()}

    def step(self, action):
        delta = OSC.scaled(action)
        move = self.share * delta[:3]
        self.closed = min(self.closed + 1, 10) if action[6] > 0 else 0
        held = self.closed > 6 and np.linalg.norm(self.hand - self.can) < 0.05
        if held and self.slips and self.hand[2] > 1.0:
            held, self.slips = False, False
        self.hand = self.hand + move
        self.site = matrix_from_axis_angle(0.6 * delta[3:]) @ self.site
        if held:
            self.can = self.can + move
        else:
            self.can = np.array([*self.can[:2], 0.86])


@pytest.mark.parametrize("slips", [False, True])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_the_can_reaches_its_bin_and_a_lost_one_is_fetched_again(slips, noise):
    env = Kinematic(slips)
    expert, steps = CanExpert(env, 3, noise), 0
    while steps < 300 and not (expert.plan.phase == "retreat" and env.hand[2] > 1.0):
        act = expert.act()
        assert np.abs(act.label).max() <= 1 and np.abs(act.executed).max() <= 1
        env.step(act.executed.astype(float))
        steps += 1
    assert steps < 300 and np.abs(env.can[:2] - BIN).max() < 0.03
    np.testing.assert_allclose(env.site[:, 2], [0, 0, -1], atol=0.1)  # the fingers ended pointing down
    if not noise and not slips:
        assert steps < 150


def test_a_can_from_the_far_edge_is_carried_all_the_way():
    env = Kinematic(share=0.25)  # 12 mm a step, as the arm carries
    env.can[:2] = 0.06, -0.42
    expert = CanExpert(env)
    for _ in range(300):
        if expert.plan.phase in ("lower", "open"):
            assert np.abs(env.can[:2] - BIN).max() < 0.05
        env.step(expert.act().executed.astype(float))
    assert np.abs(env.can[:2] - BIN).max() < 0.03


def test_absolute_labels_say_the_same(monkeypatch):
    delta, absolute = CanExpert(Kinematic()).act(), CanExpert(Kinematic(actions="absolute")).act()
    env = Kinematic()
    expected = OSC.targets(delta.label.astype(float), env.hand, env.site, np.eye(3))
    np.testing.assert_allclose(absolute.label, expected, atol=1e-6)
    assert absolute.label.shape == (10,) and absolute.phase == PHASES.index("hover")
    matrix_from_xyzw(xyzw_from_matrix(matrix_from_six(absolute.label[3:9])))


def test_pushes_follow_from_the_seed_and_spare_the_fingers():
    action = np.array([0.1, 0, 0, 0, 0, 0, 1.0])
    one = [Pushes(1.0, 5)(action, "carry") for _ in range(3)]
    assert all(np.array_equal(row, one[0]) for row in one)
    pushes = Pushes(1.0, 0)
    sent = np.array([pushes(action, "carry") for _ in range(400)])
    pushed = np.linalg.norm(sent[:, :3] - action[:3], axis=1) > 0.35
    assert 0.05 < pushed.mean() < 0.4 and (sent[:, 6] == 1).all()
    pushes = Pushes(1.0, 0)
    still = np.array([pushes(action, "close") for _ in range(400)])
    assert np.abs(still[:, :3] - action[:3]).max() < 0.5
    assert np.array_equal(Pushes(0.0, 0)(action, "carry"), action)


def test_it_begins_above_the_can_with_open_fingers():
    plan = CanPlan()
    action = plan.act(Kinematic().privileged())
    assert plan.phase == "hover" and action[6] == -1 and action[0] > 0 and action[1] < 0
