"""Where an exam takes place: one of our own tasks, or somebody else's env."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from worldmodel.config import UserError
from worldmodel.evaluate.candidate import Candidate
from worldmodel.evaluate.frozen import SEED, STATE, Starts, StartsError
from worldmodel.evaluate.gym_stage import GymStages
from worldmodel.evaluate.robosuite_stage import RobosuiteStages, look_at
from worldmodel.evaluate.stage import RobotStages, Stage
from worldmodel.schema import CONTROL_HZ
from worldmodel.sims.gymnasium.discover import discover
from worldmodel.sims.gymnasium.name import is_foreign, parse
from worldmodel.sims.robosuite.task import is_robosuite, name_of

VERSIONS = ("mujoco", "made_by", "gl", "gymnasium", "robosuite")
"""What may differ between the freezing of starts and their use; the report tells."""


@dataclass(frozen=True)
class Venue:
    """``stages`` opens simulators, ``fingerprint`` says what they are, ``rate`` is their control rate in hertz."""

    stages: Callable[[], Stage]
    fingerprint: dict[str, Any]
    rate: float

    def notes(self, starts: Starts) -> list[str]:
        """What the report says about starts that were frozen under other versions."""
        names = {"mujoco": "MuJoCo", "gl": "GL", "gymnasium": "Gymnasium", "robosuite": "robosuite"}
        differ = [k for k in VERSIONS if k in starts.fingerprint and starts.fingerprint[k] != self.fingerprint.get(k)]
        return [
            f"starts were frozen under {names.get(key, '')} {starts.fingerprint[key]} and rolled out under "
            f"{self.fingerprint.get(key)}".replace("  ", " ")
            for key in differ
        ]


def check_names(task: str, perturb: str = "none") -> None:
    """An unknown task or perturbation is told before anything starts."""
    if is_foreign(task) or is_robosuite(task):
        (parse if is_foreign(task) else name_of)(task)
        if perturb != "none":
            raise UserError(f"perturb={perturb}: {task} cannot be perturbed; leave perturb= out")
        return
    from worldmodel import envs  # here, because importing MuJoCo takes half a second

    envs.get_task(task)
    envs.EnvConfig(perturb=perturb)


def open_venue(task: str, perturb: str, candidate: Candidate, starts: Starts) -> Venue:
    """What a candidate is examined in. Prints what another's env turned out to be; UserError where it does not fit."""
    if starts.kind != (SEED if is_foreign(task) else STATE):
        raise StartsError(f"starts are of kind {starts.kind!r}, which {task} does not have; freeze new ones")
    if (is_foreign(task) or is_robosuite(task)) and candidate.looks > 1:
        raise UserError(
            f"task={task}: {candidate.name} wants {candidate.looks} observations at once, which only our own tasks show"
        )
    if is_foreign(task):
        face, fingerprint = discover(task, candidate.size, candidate.cameras)
        print("\n".join(face.lines()), flush=True)
        return Venue(GymStages(task, face.cameras, candidate.size), fingerprint, face.rate)
    if is_robosuite(task):
        told, fingerprint, rate = look_at(task, candidate)
        print("\n".join(told), flush=True)
        return Venue(RobosuiteStages(task, candidate.cameras, candidate.size), fingerprint, rate)
    from worldmodel import envs

    cameras = candidate.cameras or ("scene", "wrist")
    options = {"size": candidate.size, "perturb": perturb, "microphone": candidate.hears > 0}
    env = envs.make(task, cameras=cameras, **options)
    stages = RobotStages(task, cameras, candidate.size, perturb, candidate.hears, candidate.looks)
    return Venue(stages, env.fingerprint(), float(CONTROL_HZ))
