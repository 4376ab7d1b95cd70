"""Our own tasks with the face that all simulators have."""

from typing import Any, ClassVar

import numpy as np

from worldmodel.schema import CONTROL_HZ, ENVIRONMENT_STATE, STATE, image_key
from worldmodel.sims import base
from worldmodel.sims.base import EXPERT, SCRIPTED, Demonstrates, EnvInfo, InitialState, Simulator, SimulatorSpec
from worldmodel.sims.object_stats import ObjectStats

from .expert import Expert
from .key_driving import KeyDriving
from .perturb import PERTURBATIONS
from .robot import OPTIONAL_KEYS, EnvConfig, RobotEnv
from .scene import CAMERAS
from .scripted_play import Play, Retrace, Rough, Wander
from .tasks import Task, get_task

EXPERTS: dict[str, type[Expert]] = {EXPERT: Expert, base.NOISY: Rough, base.PLAY: Play, base.RANDOM: Wander}
EXPERTS |= {base.RETRACE: Retrace, base.KEYS: KeyDriving}


class CanSimulator(Simulator):
    """A `RobotEnv` that draws only when it is looked at. `observe` has the privileged state too."""

    perturbations = PERTURBATIONS
    behaviours = tuple(EXPERTS)
    optional_keys = tuple(OPTIONAL_KEYS)
    mixes = True
    own: ClassVar[Task | None] = None  # a task that is in no table of ours

    @classmethod
    def check(cls, spec: SimulatorSpec) -> None:
        """ValueError, one line, for an unknown task, camera or perturbation."""
        cls.own or get_task(spec.task)
        EnvConfig(perturb=spec.perturb, size=spec.size, cameras=_cameras(spec))
        super().check(spec)

    def __init__(self, spec: SimulatorSpec) -> None:
        keys, cameras = spec.switched_on, _cameras(spec)
        more = {name: any(key.startswith(prefix) for key in keys) for prefix, name in OPTIONAL_KEYS.items()}
        config = EnvConfig(cameras, spec.size, perturb=spec.perturb, render_images=False, **more)
        self.env = RobotEnv(self.own or spec.task, config)
        task = self.env.task
        success = f"its condition has held for {task.hold_steps} control steps"
        shown = (spec.task, cameras, spec.size, float(CONTROL_HZ), round(task.seconds * CONTROL_HZ))
        self.info = EnvInfo(*shown, action_dim=4, state_dim=4, success=success, task_summary=task.summary)

    def reset(self, start: InitialState) -> None:
        """At a state, or where the seed draws it. The seed also draws the look of a perturbed scene."""
        state = {"state": start.state} if len(start.state) else None
        self._seen, _ = self.env.reset(seed=start.seed if start.seed >= 0 else None, options=state)
        self.success, self.over = self.env.success, False
        self._stats = ObjectStats(self.env.scene.eef, self.env.scene.can_position)

    def step(self, action: np.ndarray, draw: bool = False) -> None:
        self._seen, _, self.success, self.over, _ = self.env.step(action)
        self._stats.update(self.env.scene.eef, self.env.scene.can_position)

    def observe(self, draw: bool = True) -> dict[str, np.ndarray]:
        if not draw:
            return dict(self._seen)
        pictures = {image_key(name): self.env.draw(name) for name in self.info.cameras}
        known = np.concatenate(list(self.env.privileged().values())).astype(np.float32)
        return {**pictures, STATE: self._seen[STATE], ENVIRONMENT_STATE: known, **self._seen}

    @property
    def solved(self) -> bool:
        return self.env.solved

    def get_state(self) -> np.ndarray:
        return np.asarray(self.env.get_state(), np.float64)

    def expert(self, seed: int, noise: float = 0.0, behaviour: str = EXPERT, name: str = SCRIPTED) -> Demonstrates:
        make = self.env.task.expert if behaviour == EXPERT and self.env.task.expert else EXPERTS[behaviour]
        return make(self.env, seed, noise=noise)

    def stats(self) -> dict[str, Any]:
        return self._stats.summary()


def _cameras(spec: SimulatorSpec) -> tuple[str, ...]:
    return CAMERAS if spec.cameras is None else spec.cameras
