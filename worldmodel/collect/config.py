"""Options of ``worldmodel collect``."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from typing import Any

from worldmodel.config import check_range, closest, option
from worldmodel.schema import AUDIO, SEGMENTATION
from worldmodel.sims.base import EXPERT, KEYS, NOISY, PLAY, RANDOM, RETRACE, SCRIPTED, SimulatorSpec

MIXED = "mixed"
BEHAVIOURS = (EXPERT, NOISY, PLAY, RANDOM, RETRACE, KEYS, MIXED)
MIXTURE = (PLAY, EXPERT, PLAY, NOISY, RANDOM)
"""What ``mixed`` does, in turns over the seeds of each task: two fifths play, a fifth of each of the others."""
EXPERTS = (SCRIPTED, RANDOM)  # Experts that a simulator may bring; any other name is a checkpoint's folder
EARLIER = {"microphone": False}  # A key that the very first recipes do not have
LATER = {"behaviour": EXPERT, "segmentation": False, "expert": SCRIPTED, "failures": False}
"""Keys of a recipe that older ones do not have, and what those did."""


@dataclass(frozen=True)
class CollectionSpec:
    """Everything that decides an episode's content besides its seed; equal recipes give equal bytes."""

    tasks: tuple[str, ...]
    seed: int
    episodes: int
    noise: float
    cameras: tuple[str, ...] | None
    size: int
    tail: int
    microphone: bool = False
    behaviour: str = EXPERT
    segmentation: bool = False
    expert: str = SCRIPTED
    failures: bool = False

    def task_of(self, seed: int) -> str:
        """The tasks take turns over seeds, so that a resumed collection agrees with an uninterrupted one."""
        return self.tasks[(seed - self.seed) % len(self.tasks)]

    def behaviour_of(self, seed: int) -> str:
        """Who acts in the episode of ``seed``: behaviours take turns over the seeds of each task."""
        number = (seed - self.seed) // len(self.tasks)
        return MIXTURE[number % len(MIXTURE)] if self.behaviour == MIXED else self.behaviour

    @property
    def keeps_all(self) -> bool:
        """Whether episodes that fail are kept too: all but the plain expert's are, or with ``failures``."""
        return self.behaviour != EXPERT or self.failures

    def simulator(self, task: str) -> SimulatorSpec:
        """The simulator of one of the tasks, showing what is to be recorded."""
        keys = (AUDIO,) * self.microphone + (SEGMENTATION,) * self.segmentation
        return SimulatorSpec(task, self.cameras, self.size, keys=keys)

    def record(self) -> dict[str, Any]:
        """The recipe as JSON gives it back. What came later than a store's format is recorded only where it is used."""
        found = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return {key: value for key, value in found.items() if key not in LATER or value != LATER[key]}


@dataclass(frozen=True)
class CollectConfig:
    """What to record, from which seed on, and where to."""

    out: str = option("folder of the new store; an interrupted one is resumed")
    task: str = option(
        "place_can, lift_can, several that take turns: [place_can,lift_can], robosuite:PickPlaceCan, gym:ID (any "
        "Gymnasium env with pixels and Box actions), metaworld:pick-place-v3",
        "place_can",
    )
    behaviour: str = option(
        "who acts: expert; noisy: the expert, pushed about hard; play: pushes, knocks over, drops and throws "
        "the can; random: smooth motion; retrace: the expert, then what it did backwards and forwards again; keys: as "
        "a person drives with keys; mixed: 2 play, 1 expert, 1 noisy, 1 random in turn. Failures of all but the expert "
        "are kept",
        EXPERT,
    )
    expert: str = option("for gym:ID: scripted, random, or the folder of a checkpoint", "scripted")
    episodes: int = option("how many episodes to keep: the expert's successful ones, all of the others'", 200)
    seed: int = option("first seed; a failed episode of the expert is dropped and the next seed tried", 0)
    noise: float = option("strength of the exploration pushes that the expert recovers from, 0 to 2", 1.0)
    size: int = option("edge of the square camera images in pixels", 96)
    cameras: str = option("cameras to record: [scene,wrist], one of them, [] for none; auto: the task's own", "auto")
    microphone: bool = option("record contact sound too, 8 kHz (observation.audio)", False)
    segmentation: bool = option(
        "record whose each pixel is too: 0 background, 1 gripper, 2 object (observation.segmentation.CAMERA)", False
    )
    tail: int = option("control steps recorded after success, so that the ending is in the data", 8)
    failures: bool = option("keep the expert's failed episodes too", False)
    give_up: int = option("stop where none of so many episodes met the success rule; 0 for never", 100)
    workers: str = option("simulator processes; auto takes one per core", "auto")
    timeout: float = option("seconds after which a silent worker is replaced", 120.0)
    licence: str = option("licence of the data, kept in the store", "Apache-2.0")

    def __post_init__(self) -> None:
        check_range(self, episodes=(1, 10**7), seed=(0, 2**31 - 1), noise=(0, 2), size=(8, 1024), tail=(0, 200))
        check_range(self, give_up=(0, None))
        if self.workers != "auto" and not (self.workers.isdigit() and 0 < int(self.workers[:9]) <= 1024):
            raise ValueError(f"workers={self.workers}: expected auto or a number from 1 to 1024")
        if self.behaviour not in BEHAVIOURS:
            raise ValueError(f"behaviour={self.behaviour}: no such behaviour; {closest(self.behaviour, BEHAVIOURS)}")
        if not 0 < self.timeout <= 1e6:
            raise ValueError(f"timeout={self.timeout}: expected seconds above 0")

    def recipe(self) -> CollectionSpec:
        """The part that decides the content."""
        tasks, cameras = _names(self.task), None if self.cameras == "auto" else _names(self.cameras)
        if not tasks:
            raise ValueError(f"task={self.task}: expected at least one task")
        same = ["seed", "episodes", "noise", "size", "tail", "microphone", "behaviour", "segmentation", "expert"]
        same.append("failures")
        return CollectionSpec(tasks, cameras=cameras, **{name: getattr(self, name) for name in same})

    def command(self) -> str:
        """The command line that says the same, without what is left at its default."""
        defaults, keys = CollectConfig(out=""), ("task", "episodes", "seed", "out")
        shown = [f"{key}={getattr(self, key)}" for key in keys]
        rest = [key for key in asdict(self) if key not in keys and getattr(self, key) != getattr(defaults, key)]
        words = [*shown, *(f"{key}={getattr(self, key)}" for key in rest)]
        return " ".join(["worldmodel collect", *map(shlex.quote, words)])


def _names(text: str) -> tuple[str, ...]:
    """``[a,b]``, ``a,b`` or ``a`` as a tuple of names; options behind a question mark may hold commas."""
    if "?" in text and not text.startswith("["):
        return (text,)
    return tuple(name for name in (part.strip(" '\"") for part in text.strip("[] ").split(",")) if name)
