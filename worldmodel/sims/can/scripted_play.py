"""Behaviour that is not a demonstration: play with the can, random motion, and an expert that is pushed about hard.

What a model must see to know what actions lead to, wanted or not: a can that is pushed, knocked over, dropped and
thrown, fingers that close beside it, motions that lead nowhere. Nothing here tries to succeed.
"""

from collections.abc import Callable, Iterator
from enum import IntEnum
from functools import partial

import numpy as np

from worldmodel.sims.base import ExpertStep

from .expert import CLEAR, CLOSE, GENTLE, GRASP_ABOVE, HOVER, OPEN, Expert, Plan
from .scene import WORKSPACE_HIGH, WORKSPACE_LOW
from .tasks import REST

FAST = 0.03  # As far as the controller lets a target move, metres per control step
WITHIN = 0.012  # A goal this near, in metres, has been reached


Activity = IntEnum("Activity", "REACH PUSH TOPPLE CARRY DROP THROW MISS FINGERS WANDER RETRACE", start=16)
"""What a player is doing; beside `Phase`, whose numbers are others."""


type Moves = Iterator[Plan]

SHARES = dict(zip(Activity, (0.16, 0.15, 0.15, 0.11, 0.12, 0.12, 0.11, 0.08), strict=False))
"""How often a player chooses an activity while the can is within reach; else it reaches or moves its fingers."""


class Rough(Expert):
    """The expert pushed three times as often and twice as hard, fingers closing or not, sometimes made to let go."""

    def _pushed(self, label: np.ndarray, phase: IntEnum) -> np.ndarray:
        """The label with the active push added; a quarter of the pushes also turn the gripper's command around."""
        if self._begin_push(0.12, 2.0):
            self._slips = bool(self._random.random() < 0.25)
        if self._push_left == 0:
            return label
        self._push_left -= 1
        target = np.clip(label[:3] + self._push, WORKSPACE_LOW, WORKSPACE_HIGH)
        return np.append(target, -label[3] if self._slips else label[3]).astype(np.float32)


class Play(Expert):
    """One activity after another, drawn at random. What it wants is what is done: label and executed are the same."""

    steps = 160
    """Control steps of an episode, which no goal ends: 8 seconds."""

    def reset(self) -> None:
        """Starts its random numbers, and so its plans, again from the seed."""
        super().reset()
        self._random = np.random.default_rng([self._seed, 21])
        self._moves = self._plans()

    def _plan(self) -> Plan:
        return next(self._moves)

    def _pushed(self, label: np.ndarray, phase: IntEnum) -> np.ndarray:
        return label.copy()

    def _plans(self) -> Moves:
        strikes, lifts = (Activity.PUSH, Activity.TOPPLE), (Activity.CARRY, Activity.DROP, Activity.THROW)
        does: dict[IntEnum, Callable[[], Moves]] = {activity: partial(self._strike, activity) for activity in strikes}
        does |= {activity: partial(self._lift, activity) for activity in lifts}
        does |= {Activity.MISS: self._miss, Activity.FINGERS: self._fingers}
        kinds, shares = list(SHARES), np.array(list(SHARES.values()))
        while True:
            activity = kinds[int(self._random.choice(len(kinds), p=shares / shares.sum()))]
            if activity != Activity.FINGERS and not self._within_reach():
                activity = Activity.REACH
            yield from does.get(activity, self._somewhere)()

    def _within_reach(self) -> bool:
        can = self._env.scene.can_position
        inside = (can[:2] > WORKSPACE_LOW[:2]) & (can[:2] < WORKSPACE_HIGH[:2])
        return bool(inside.all() and 0 < can[2] < 0.2)

    def _go(self, activity: Activity, goal: np.ndarray, grip: float, speed: float, steps: int = 40) -> Moves:
        """Towards ``goal`` until it is reached, for at most ``steps`` steps and at least one."""
        goal = np.clip(goal, WORKSPACE_LOW, WORKSPACE_HIGH)
        for _ in range(steps):
            yield activity, goal, grip, speed
            if np.linalg.norm(goal - self._env.scene.eef) < WITHIN:
                return

    def _stay(self, activity: Activity, grip: float, steps: int) -> Moves:
        here = self._env.scene.eef
        for _ in range(steps):
            yield activity, here, grip, FAST

    def _somewhere(self) -> Moves:
        point = self._random.uniform(WORKSPACE_LOW, WORKSPACE_HIGH)
        grip = float(self._random.choice([OPEN, CLOSE, self._random.uniform(-1, 1)]))
        yield from self._go(Activity.REACH, point, grip, self._random.uniform(0.006, FAST))

    def _strike(self, activity: Activity) -> Moves:
        """Down beside the can with closed fingers, then through it: low and slow it slides, high and fast it falls."""
        topples = activity == Activity.TOPPLE
        angle, can = self._random.uniform(-np.pi, np.pi), self._env.scene.can_position
        along = np.array([np.cos(angle), np.sin(angle), 0])
        if topples and self._random.random() < 0.5:
            along = self._to_wall(can)
        height = self._random.uniform(0.095, 0.11) if topples else self._random.uniform(0.028, 0.07)
        begin = np.array([can[0], can[1], 0]) - along * (0.11 if topples else 0.085)
        yield from self._go(activity, np.array([*begin[:2], HOVER + 0.03]), CLOSE, FAST)
        yield from self._go(activity, np.array([*begin[:2], height]), CLOSE, 0.02)
        end = begin + along * self._random.uniform(0.2, 0.3)
        speed = FAST if topples else self._random.uniform(0.008, 0.022)
        yield from self._go(activity, np.array([*end[:2], height]), CLOSE, speed, 25)
        yield from self._go(activity, self._env.scene.eef + np.array([0, 0, 0.12]), CLOSE, 0.02, 10)

    def _to_wall(self, can: np.ndarray) -> np.ndarray:
        """Unit vector along x or y towards the nearest wall of the tray, over which a can pushed at its top falls."""
        tray = self._env.scene.tray
        x, y = (can[0] - tray.x) / tray.half_x, (can[1] - tray.y) / tray.half_y
        return np.array([np.sign(x), 0, 0]) if abs(x) > abs(y) else np.array([0, np.sign(y), 0])

    def _lift(self, activity: Activity) -> Moves:
        """Grasp the can as the expert does, and raise it; then put it down elsewhere, drop it, or throw it."""
        scene = self._env.scene
        for _ in range(70):
            eef, can, width = scene.eef, scene.can_position, scene.width
            if self._gripped(eef, can, width):
                break
            _, goal, grip, speed = self._reach(eef, can, width)
            yield activity, goal, grip, speed
        else:
            return
        height = self._random.uniform(0.02, 0.15) + REST + GRASP_ABOVE
        yield from self._go(activity, np.array([*scene.eef[:2], height]), CLOSE, self._random.uniform(0.01, 0.02))
        if activity == Activity.CARRY:
            yield from self._put_down()
        elif activity == Activity.THROW:
            angle = self._random.uniform(-np.pi, np.pi)
            along = np.array([np.cos(angle), 0.5 * np.sin(angle), self._random.uniform(0, 0.5)])
            far = scene.eef + along * 0.3  # away for longer than the fingers need to open
            yield from self._go(activity, far, CLOSE, FAST, int(self._random.integers(3, 6)))
            yield from self._go(activity, far, OPEN, FAST, 7)
        yield from self._stay(activity, OPEN, 6)

    def _put_down(self) -> Moves:
        place = self._random.uniform([0.40, -0.26], [0.60, 0.20])
        speed = self._random.uniform(0.01, 0.02)
        yield from self._go(Activity.CARRY, np.array([*place, HOVER + 0.04]), CLOSE, speed)
        yield from self._go(Activity.CARRY, np.array([*place, REST + GRASP_ABOVE]), CLOSE, GENTLE, 15)

    def _miss(self) -> Moves:
        """Close the fingers 2 to 5 cm beside where the can could be held, and rise with whatever that caught."""
        angle, can = self._random.uniform(-np.pi, np.pi), self._env.scene.can_position
        beside = can[:2] + self._random.uniform(0.02, 0.05) * np.array([np.cos(angle), np.sin(angle)])
        yield from self._go(Activity.MISS, np.array([*beside, HOVER]), OPEN, 0.02)
        yield from self._go(Activity.MISS, np.array([*beside, self._random.uniform(0.04, CLEAR)]), OPEN, GENTLE, 15)
        yield from self._stay(Activity.MISS, CLOSE, 8)
        yield from self._go(Activity.MISS, np.array([*beside, HOVER]), CLOSE, 0.02, 12)

    def _fingers(self) -> Moves:
        for _ in range(int(self._random.integers(2, 5))):
            grip = float(self._random.choice([OPEN, CLOSE, self._random.uniform(-1, 1)]))
            yield from self._stay(Activity.FINGERS, grip, int(self._random.integers(4, 12)))


class Wander(Play):
    """Smooth random motion: a velocity that forgets itself in half a second, turned back at the workspace's edge."""

    steps = 120

    def _plans(self) -> Moves:
        velocity: np.ndarray = np.zeros(3)
        grip, wish = 0.0, 0.0
        keep = np.exp(-1 / 10)  # over ten steps, half a second
        middle = (WORKSPACE_LOW + WORKSPACE_HIGH) / 2
        while True:
            velocity = keep * velocity + np.sqrt(1 - keep**2) * 0.012 * self._random.normal(size=3)
            eef = self._env.scene.eef
            beyond = (eef + 2 * velocity < WORKSPACE_LOW) | (eef + 2 * velocity > WORKSPACE_HIGH)
            velocity = np.where(beyond, np.sign(middle - eef) * np.abs(velocity), velocity)
            if self._random.random() < 0.06:
                wish = float(self._random.uniform(-1.5, 1.5))  # open or closed a third of the time
            grip += 0.3 * (float(np.clip(wish, -1, 1)) - grip)
            yield Activity.WANDER, eef + velocity, grip, FAST


TAIL, LATEST = 8, 150
"""Control steps after the success before it turns back, as demonstrations have; and when it turns at the latest."""


class Retrace(Expert):
    """The expert, then its own executed actions backwards and forwards for ever. Not a demonstration.

    Demonstrations end when the task does, so nothing in them shows what a hand that comes back finds. Here a can is put
    down, taken up again where it stands, carried back, or missed and knocked over by then.
    """

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
