"""Options of ``worldmodel collect``."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from worldmodel.collect.behaviour import BEHAVIOURS
from worldmodel.config import closest, option
from worldmodel.sims.base import EXPERT

if TYPE_CHECKING:
    from worldmodel.collect.demonstrate import CollectionSpec


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
        "the can; random: smooth motion; retrace: the expert, then what it did backwards and forwards again; mixed: 2 "
        "play, 1 expert, 1 noisy, 1 random in turn. Failures of all but the expert are kept",
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
    workers: str = option("simulator processes; auto takes one per core", "auto")
    timeout: float = option("seconds after which a silent worker is replaced", 120.0)
    licence: str = option("licence of the data, kept in the store", "Apache-2.0")

    def __post_init__(self) -> None:
        bounds = {"episodes": (1, 10**7), "seed": (0, 2**31), "noise": (0, 2), "size": (8, 1024), "tail": (0, 200)}
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name}={value}: expected {low} to {high}")
        if self.workers != "auto" and not (self.workers.isdigit() and int(self.workers) > 0):
            raise ValueError(f"workers={self.workers}: expected auto or a number above 0")
        if self.behaviour not in BEHAVIOURS:
            raise ValueError(f"behaviour={self.behaviour}: no such behaviour; {closest(self.behaviour, BEHAVIOURS)}")
        if self.timeout <= 0:
            raise ValueError(f"timeout={self.timeout}: expected seconds above 0")

    def recipe(self) -> CollectionSpec:
        """The part that decides the content."""
        from worldmodel.collect.demonstrate import CollectionSpec  # here: options are read without a simulator

        tasks, cameras = _names(self.task), None if self.cameras == "auto" else _names(self.cameras)
        if not tasks:
            raise ValueError(f"task={self.task}: expected at least one task")
        recipe = CollectionSpec(
            tasks, self.seed, self.episodes, self.noise, cameras, self.size, self.tail, self.microphone
        )
        return replace(recipe, behaviour=self.behaviour, segmentation=self.segmentation, expert=self.expert)

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
