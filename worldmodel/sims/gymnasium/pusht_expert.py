"""A planner for PushT: tries every straight push from every side in a twin of the env, and carries out the best one.

The block's friction with the finger is zero and it stops at once, so a push is decided by where it begins and how long
it is. One look ahead is enough, because the cost (how far the T's corners are from where they should be) falls with
every push until the goal is met.
"""

import importlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.sparse.csgraph import dijkstra

from worldmodel.sims.base import Simulator

BOXES = np.array([[-60.0, 0, 60, 30], [-15, 30, 15, 120]])
"""The T's bar and stem in its own frame: least x, y and most x, y, in the env's units (the table is 512 wide)."""
CORNERS = np.array([[-60.0, 0], [60, 0], [60, 30], [-60, 30], [-15, 30], [15, 30], [15, 120], [-15, 120]])
OUTWARD = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1], [-1, 1], [1, 1], [1, 1], [-1, 1]])
FINGER = 15.0  # The finger's radius
GAP, CLEAR = 3.0, 8.0  # Air between finger and T where a push begins, and on the way there
TABLE = 8.0, 504.0  # Where a push may begin
FAR, COARSE, FINE, TRAVEL = 12.0, 20.0, 8.0, 60.0
"""Below ``FAR`` pushes are fine. How far ahead of the finger its target lies while pushing, and on the way."""
LONGEST = 14  # Control steps of a push
ASTRAY = 4.0  # Where the T's corners are this far from what the twin predicted, the plan is made anew


def _sides() -> tuple[np.ndarray, np.ndarray]:
    """Points all around the T, and at each the direction of a push: (n, 2) each, in the T's frame."""
    found = [((x, 0), (0, 1)) for x in range(-54, 55, 12)]
    for y in (6, 15, 24):
        found += [((-60, y), (1, 0)), ((60, y), (-1, 0))]
    for x in (33, 42, 51):
        found += [((x, 30), (0, -1)), ((-x, 30), (0, -1))]
    for y in range(48, 109, 12):
        found += [((15, y), (-1, 0)), ((-15, y), (1, 0))]
    found += [((x, 120), (0, -1)) for x in (-9, 0, 9)]
    points, directions = zip(*found, strict=True)
    return np.array(points, np.float64), np.array(directions, np.float64)


POINTS, INWARD = _sides()


def turned(angle: float) -> np.ndarray:
    """Rotation matrix (2, 2) of an angle in radians."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def placed(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Points of the T's frame on the table; ``pose`` is x, y and radians."""
    return points @ turned(pose[2]).T + pose[:2]


def distance(points: np.ndarray) -> np.ndarray:
    """From points (..., 2) of the T's frame to its edge, negative inside."""
    middle, half = (BOXES[:, :2] + BOXES[:, 2:]) / 2, (BOXES[:, 2:] - BOXES[:, :2]) / 2
    over = np.abs(points[..., None, :] - middle) - half
    each = np.linalg.norm(np.maximum(over, 0), axis=-1) + np.minimum(over.max(-1), 0)
    return np.asarray(each.min(-1))


def apart(pose: np.ndarray, other: np.ndarray) -> float:
    """Mean distance between the T's corners in two poses."""
    return float(np.linalg.norm(placed(CORNERS, pose) - placed(CORNERS, other), axis=1).mean())


class Twin:
    """The same physics, to try things in."""

    def __init__(self) -> None:
        self._env: Any = importlib.import_module("gym_pusht.envs").PushTEnv()
        self._env._setup()
        self.goal = np.array(self._env.goal_pose, np.float64)

    def put(self, finger: np.ndarray, pose: np.ndarray) -> None:
        """Everything at rest, the finger here and the T there."""
        agent, block, space = self._env.agent, self._env.block, self._env.space
        agent.position, agent.velocity = (float(finger[0]), float(finger[1])), (0.0, 0.0)
        block.velocity, block.angular_velocity = (0.0, 0.0), 0.0
        block.angle = float(pose[2])  # first: it turns about the centre of gravity, which is not the position
        block.position = float(pose[0]), float(pose[1])
        space.reindex_shapes_for_body(block)
        space.reindex_shapes_for_body(agent)

    def step(self, target: np.ndarray) -> np.ndarray:
        """One control step of the env (0.1 s); the T's pose afterwards, float64 (3,)."""
        env, agent = self._env, self._env.agent
        x, y = map(float, target)
        for _ in range(round(1 / (env.dt * env.control_hz))):
            (px, py), (vx, vy) = agent.position, agent.velocity
            pull_x, pull_y = env.k_p * (x - px) - env.k_v * vx, env.k_p * (y - py) - env.k_v * vy
            agent.velocity = (vx + pull_x * env.dt, vy + pull_y * env.dt)
            env.space.step(env.dt)
        return np.array([*env.block.position, env.block.angle])

    @property
    def finger(self) -> np.ndarray:
        return np.array(self._env.agent.position, np.float64)


@dataclass
class Push:
    """The way to where a push begins, its targets, and the pose that the twin predicts after each of them."""

    way: list[np.ndarray]
    targets: list[np.ndarray]
    predicted: list[np.ndarray]
    value: float = -np.inf
    done: int = field(default=0)


class PushTExpert:
    """Drives gym_pusht's PushT from its simulator's state; goes around the T, pushes, replans."""

    push = np.array([20.0, 20.0])

    def __init__(self, simulator: Simulator, seed: int) -> None:
        self._env = simulator.env.unwrapped
        self._twin = Twin()
        self._plan: Push | None = None

    def decide(self) -> tuple[np.ndarray, int]:
        """Target of the finger, float64 (2,) in [0, 512]; phase 0 on the way, 1 pushing."""
        finger = np.array(self._env.agent.position, np.float64)
        pose = np.array([*self._env.block.position, self._env.block.angle], np.float64)
        plan = self._plan
        if plan is None or plan.done == len(plan.targets) or apart(pose, plan.predicted[plan.done]) > ASTRAY:
            plan = self._plan = self._best(finger, pose)
        while plan.way:
            rest = plan.way[0] - finger
            if np.linalg.norm(rest) >= (6 if len(plan.way) == 1 else 14):
                return finger + rest * min(1.0, TRAVEL / float(np.linalg.norm(rest))), 0
            plan.way.pop(0)
        plan.done += 1
        return plan.targets[plan.done - 1], 1

    def _best(self, finger: np.ndarray, pose: np.ndarray) -> Push:
        """The push that gains most for the steps it takes, the way included."""
        now, best = apart(pose, self._twin.goal), Push([], [], [])
        begin = placed(POINTS - INWARD * (FINGER + GAP), pose)
        inside = ((begin >= TABLE[0]) & (begin <= TABLE[1])).all(axis=1)
        for start, inward in zip(begin[inside], INWARD[inside] @ turned(pose[2]).T, strict=True):
            found = self._tried(start, inward, pose, now, float(np.linalg.norm(start - finger)) / 25)
            if found.value > best.value:
                found.way, best = [start], found
        best.way = around(finger, best.way[0], pose)
        return best

    def _tried(self, start: np.ndarray, inward: np.ndarray, pose: np.ndarray, now: float, travel: float) -> Push:
        """The best length of one push, tried in the twin. ``travel``: control steps to where it begins."""
        self._twin.put(start, pose)
        targets, predicted, best = list[np.ndarray](), [pose], Push([], [], [])
        for step in range(1, LONGEST + 1):
            target = self._twin.finger + inward * (COARSE if now > FAR else FINE)
            if target.min() < 2 or target.max() > 510:
                break
            targets.append(target)
            predicted.append(self._twin.step(target))
            gain = now - apart(predicted[-1], self._twin.goal)
            value = gain / (step + travel + 4) if now > 25 else gain - 0.05 * (step + travel)
            if value > best.value:
                best = Push([], targets[:], predicted[:], value)
            if step > 4 and gain < -5:
                break
        return best


def around(finger: np.ndarray, goal: np.ndarray, pose: np.ndarray) -> list[np.ndarray]:
    """Waypoints on the table from the finger to ``goal`` that stay clear of the T: the shortest way by its corners."""
    margin = FINGER + CLEAR
    into = turned(pose[2])
    corners = CORNERS + OUTWARD * (margin + 1)
    corners = corners[((placed(corners, pose) > 2) & (placed(corners, pose) < 510)).all(axis=1)]
    nodes = np.vstack([(finger - pose[:2]) @ into, (goal - pose[:2]) @ into, corners])
    along = np.linspace(0, 1, 25)[:, None]
    ways = nodes[:, None, None] * (1 - along) + nodes[None, :, None] * along
    ends = distance(nodes)
    least = np.minimum(margin, np.minimum(ends[:, None], ends[None]))[..., None] - 0.5  # who stands near may walk near
    length = np.linalg.norm(nodes[:, None] - nodes[None], axis=-1)
    path = _shortest(np.where((distance(ways) >= least).all(-1), length, np.inf))
    return list(placed(nodes[path], pose))


def _shortest(length: np.ndarray) -> list[int]:
    """Nodes from the first one (left out) to the second one; the straight way where there is none."""
    far, before = dijkstra(length, indices=0, return_predecessors=True)
    path = [1]
    while np.isfinite(far[1]) and before[path[-1]]:
        path.append(int(before[path[-1]]))
    return path[::-1]
