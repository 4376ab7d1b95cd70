"""A study's plan, the cells that it consists of, and what each cell trains: all known before anything runs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from research.study.arms import find_arm
from worldmodel.backbone import BackboneConfig
from worldmodel.config import UserError, leaves, option
from worldmodel.objectives import NoiseConfig, ObjectiveConfig
from worldmodel.tokens.listed import complete
from worldmodel.train.config import (
    AugmentConfig,
    LogConfig,
    ModesConfig,
    OptimiserConfig,
    TrainConfig,
    ValidationConfig,
)

POLICY_ALONE = ModesConfig(policy=1.0, joint=0.0, forward=0.0, inverse=0.0, video=0.0)
AT_LEAST_ONE = ("steps", "batch", "checkpoints", "episodes", "curve_episodes", "workers", "simulators", "future")


@dataclass(frozen=True)
class StudyConfig:
    """Arms x seeds x sizes of data, how each is trained and evaluated, and where rows and weights go."""

    plan: str = option("name of the plan: its rows go to <report>/<plan>", "try")
    data: str = option("EpisodeStore to learn from; several are separated by commas", "")
    features: str | None = option("for the arm repa: made by `worldmodel encode`, one per store", None)
    out: str = option("folder for weights and logs, which are not committed", "outputs/study/selfflow")
    report: str = option("folder for rows and reports, which are committed", "eval/reports/selfflow")
    report_only: bool = option("run nothing: rebuild the report from the rows that are there", False)
    arms: tuple[str, ...] = option("arms to compare (research/study/arms.py)", ("flow", "dual", "sra", "self_flow"))
    seeds: tuple[int, ...] = option("seeds of weights, data order and noise, the same for every arm", (0, 1, 2))
    demonstrations: tuple[int, ...] = option("sizes of the data: the first so many episodes", (50,))
    task: str = option("task to evaluate on", "place_can")
    starts: str = option("validation, test, or a file of `worldmodel starts`", "validation")
    perturb: tuple[str, ...] = option("perturbations that the last checkpoint is also evaluated under", ())
    episodes: int = option("starts for the last checkpoint", 100)
    curve_episodes: int = option("starts for the checkpoints before it", 50)
    checkpoints: int = option("checkpoints evaluated along the way, evenly spaced, the last one included", 4)
    execute: int = option("actions executed of each chunk before replanning", 8)
    sampler_steps: tuple[int, ...] = option("sampler steps that the last checkpoint is also evaluated with", ())
    delays: tuple[int, ...] = option("control steps of latency that the last checkpoint is also evaluated with", ())
    reach: float = option("success rate whose first checkpoint the report looks for", 0.5)
    probe: bool = option("run `worldmodel probe` on the last checkpoint", True)
    imagine: int = option("held-out episodes whose frames are imagined; 0 for none", 8)
    steps: int = option("training steps of every run", 2000)
    batch: int = option("observations per step in policy mode", 64)
    patch: int = option("side of a patch in pixels, 8 or 16", 16)
    future: int = option("future frames per clip in the modes that have them", 2)
    holdout: float = option("share of the store's episodes kept from training: its last ones", 0.2)
    workers: int = option("cells that run at once, each a process with one thread", 2)
    simulators: int = option("simulators of one evaluation, in one process", 16)
    device: str = option("where cells train and act: cpu or cuda", "cpu")
    compile: bool = option("compile the policy step", True)
    cache_in_memory: bool = option("every cell loads all frames into memory, instead of sharing mapped files", False)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    modes: ModesConfig = field(default_factory=ModesConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        for name in AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected at least 1")
        for name in ("arms", "seeds", "demonstrations"):
            chosen = getattr(self, name)
            if not chosen or len(set(chosen)) < len(chosen):
                raise ValueError(f"{name}={list(chosen)}: expected one or more, each once")
        for arm in self.arms:
            find_arm(arm)
        if min(self.demonstrations) < 1:
            raise ValueError(f"demonstrations={list(self.demonstrations)}: expected numbers of episodes, at least 1")
        if min(self.sampler_steps, default=1) < 1 or not 0 < self.reach <= 1:
            raise ValueError(
                f"sampler_steps={list(self.sampler_steps)}, reach={self.reach}: expected >= 1 and in (0, 1]"
            )
        check_delays(self.delays, self.execute)
        if not self.report_only and not self.features and any(find_arm(arm).external for arm in self.arms):
            raise ValueError("arms=repa: needs features=FOLDER; make them with `worldmodel encode`")
        if not 0 < self.holdout < 1:
            raise ValueError(f"holdout={self.holdout}: expected a share above 0 and below 1, for the held-out measures")
        if self.checkpoints > self.steps:
            raise ValueError(f"checkpoints={self.checkpoints}: expected at most steps={self.steps}")
        if not self.plan.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"plan={self.plan}: expected a name of letters, digits, - and _")

    @property
    def folder(self) -> Path:
        """Where the plan's rows and report are."""
        return Path(self.report, self.plan)

    def cells(self) -> list[Cell]:
        """Every cell, in the order they run: every arm of one size, all sizes of one seed, then the next seed.

        An interrupted study thus has as many results of one arm as of another.
        """
        return [Cell(arm, size, seed) for seed in self.seeds for size in self.demonstrations for arm in self.arms]

    def length(self, arm: str) -> int:
        """Training steps of an arm's cells."""
        share = self.modes.policy / sum(asdict(self.modes).values())
        return max(self.checkpoints, round(self.steps * share)) if find_arm(arm).matched else self.steps

    def milestones(self, arm: str) -> list[int]:
        """Steps whose weights are evaluated."""
        every, last = self.every(arm), self.length(arm)
        return [*range(every, last - every // 2, every), last]

    def every(self, arm: str) -> int:
        """Steps between two saves."""
        return max(1, round(self.length(arm) / self.checkpoints))


def check_delays(delays: tuple[int, ...], execute: int) -> None:
    """Raises ValueError or UserError, one line, for delays that no rollout can have, or that is none."""
    if 0 in delays:
        raise ValueError("delays: 0 is what the last checkpoint is evaluated with anyway; leave it out")
    if not delays:
        return
    from worldmodel.evaluate.evaluate import check_delay  # here: keys are read without torch
    from worldmodel.model import ModelConfig

    for delay in delays:
        check_delay(delay, execute, ModelConfig.chunk_size)


@dataclass(frozen=True)
class Cell:
    """One training with its evaluations."""

    arm: str
    size: int
    seed: int

    @property
    def name(self) -> str:
        """Of its row and its folder."""
        return f"{self.arm}-{self.size}-{self.seed}"


@dataclass(frozen=True)
class StudyData:
    """What the plan stands on: the recipes of the data, the content of the starts, and the tasks that the data holds.

    A recipe run again on another kind of processor gives the same episodes, but frames may differ in their last bits.
    So rows are distinguished by recipe, and only arms to be compared with each other need the very same ``recordings``.
    """

    data: tuple[str, ...]
    starts: str
    tasks: tuple[str, ...]
    features: tuple[str, ...] = ()
    """Names of the content of a frozen encoder's features."""
    recordings: tuple[str, ...] = ()
    """Names of the content of the data."""

    @classmethod
    def of(cls, plan: StudyConfig) -> StudyData:
        """Open stores and starts. UserError, ValueError or OSError, one line, where the plan does not fit them."""
        from worldmodel.data import EpisodeStore
        from worldmodel.evaluate.initial_states import Starts, find
        from worldmodel.sims.base import SimulatorSpec
        from worldmodel.sims.make import check

        if not plan.data:
            raise UserError("data has no value: add data=... (EpisodeStore to learn from)")
        for perturb in ("none", *plan.perturb):
            check(SimulatorSpec(plan.task, perturb=perturb))
        path = find(plan.starts, plan.task)
        starts = Starts.load(path)
        if max(plan.episodes, plan.curve_episodes) > len(starts):
            raise UserError(f"episodes={plan.episodes}: starts file {path.name} holds {len(starts)}; use fewer")
        stores = [EpisodeStore.open(name) for name in plan.data.split(",")]
        tasks = tuple(dict.fromkeys(task for store in stores for task in store.tasks))
        if plan.task not in tasks:
            raise UserError(f"task={plan.task}: the data holds {', '.join(tasks)}")
        training = min(store.episodes - round(plan.holdout * store.episodes) for store in stores)
        if max(plan.demonstrations) > training:
            raise UserError(
                f"demonstrations={max(plan.demonstrations)}: with holdout={plan.holdout} the data has {training} "
                "episodes to learn from; collect more or hold out fewer"
            )
        features = [EpisodeStore.open(name).fingerprint for name in plan.features.split(",")] if plan.features else []
        recordings = tuple(store.fingerprint for store in stores)
        return cls(tuple(map(recipe_of, stores)), starts.sha256, tasks, tuple(features), recordings)


def recipe_of(store: Any) -> str:
    """Name of what would make a store again: of its recipe and scenes where it has them, else of its content."""
    provenance = store.meta["provenance"]
    if not (recipe := provenance.get("recipe")):
        return str(store.fingerprint)
    chosen = {key: value for key, value in recipe.items() if value is not False}  # options that came later are off
    scenes = {task: about["scene_sha256"] for task, about in provenance["environment"].items()}
    content = json.dumps([chosen, scenes, store.episodes, store.steps], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


@dataclass(frozen=True)
class Study:
    """A plan on its ground: what every cell needs to know."""

    plan: StudyConfig
    ground: StudyData

    @cached_property
    def where(self) -> Path:
        """Folder of the cells' weights and logs."""
        return Path(self.plan.out, self.plan.plan)

    def final(self, cell: Cell) -> Path:
        """Folder of a cell's last weights."""
        return self.where / cell.name / "models" / f"{self.plan.length(cell.arm):08d}"

    def training(self, cell: Cell) -> TrainConfig:
        """The training config of a cell."""
        plan, arm = self.plan, find_arm(cell.arm)
        config = TrainConfig(
            data=plan.data,
            features=plan.features if arm.external else None,
            out=str(self.where / cell.name),
            steps=plan.length(cell.arm),
            batch=plan.batch,
            seed=cell.seed,
            tasks=self.ground.tasks,
            patch=plan.patch,
            future=plan.future,
            holdout=plan.holdout,
            demonstrations=cell.size,
            device=plan.device,
            compile=plan.compile,
            cache_in_memory=plan.cache_in_memory,
            save_every=plan.every(cell.arm),
            keep=True,
            backbone=plan.backbone,
            modes=plan.modes if arm.mixture == "joint" else POLICY_ALONE,
            objective=replace(plan.objective, name=arm.kind),
            noise=plan.noise,
            optimiser=plan.optimiser,
            augment=plan.augment,
            log=LogConfig(every=min(20, plan.every(cell.arm))),
            validation=ValidationConfig(every=0),
        )
        for key, value in arm.changes.items():
            config = changed(config, key, complete(value) if key == "modalities" else value)
        return config

    def settings(self, cell: Cell) -> dict[str, Any]:
        """All that the cell's results follow from, flat ("noise.frames.masked"): rows of other settings do not mix.

        Machine, paths and what is measured beside success (perturbations, probe, imagination) are no part of it.
        """
        aside = {
            "data",
            "features",
            "out",
            "device",
            "compile",
            "cache_in_memory",
            "save_dtype",
            "keep",
            "log",
            "validation",
        }
        train = {key: value for key, value in asdict(self.training(cell)).items() if key not in aside}
        evaluated = {key: getattr(self.plan, key) for key in ("task", "episodes", "curve_episodes", "execute")}
        ground: dict[str, Any] = {"data": list(self.ground.data), "starts": self.ground.starts}
        if find_arm(cell.arm).external:
            ground["features"] = list(self.ground.features)
        plain: dict[str, Any] = json.loads(json.dumps(train | evaluated | ground))
        return dict(leaves(plain))


def changed[Config](config: Config, key: str, value: Any) -> Config:
    """A frozen config with one dotted key changed. Raises UserError where there is no such key."""
    name, _, rest = key.partition(".")
    if not is_dataclass(config) or name not in {entry.name for entry in fields(config)}:
        raise UserError(f"{key}: no such training key (in research/study/arms.py)")
    inside = changed(getattr(config, name), rest, value) if rest else value
    return replace(config, **{name: inside})  # type: ignore[type-var]  # an instance, never a class
