"""Everything about a run, in one frozen record."""

from dataclasses import dataclass, field
from typing import Any

from worldmodel.backbone import BackboneConfig
from worldmodel.config import check_range, option
from worldmodel.objectives.config import NoiseConfig, ObjectiveConfig, RolloutConfig
from worldmodel.tokens.listed import complete


@dataclass(frozen=True)
class ModesConfig:
    """Shares of the training steps, relative to one another. Batches of modes with frames are half as large."""

    policy: float = option("share of steps that learn what to do", 0.76)
    joint: float = option("share of steps that learn actions and frames together", 0.06)
    forward: float = option("share of steps that learn frames under given actions", 0.12)
    inverse: float = option("share of steps that learn actions from given frames", 0.03)
    video: float = option("share of steps that learn frames alone", 0.03)
    rollout: float = option("share of steps that learn to imagine frame by frame; a quarter as large", 0.0)

    def __post_init__(self) -> None:
        shares = (self.policy, self.joint, self.forward, self.inverse, self.video, self.rollout)
        if min(shares) < 0 or sum(shares) <= 0:
            raise ValueError(f"modes={shares}: expected shares of at least 0 with a positive sum")


@dataclass(frozen=True)
class AugmentConfig:
    """Changes of a clip's frames while training, one draw for all frames of a clip."""

    shift: int = option("largest shift in pixels; edges are repeated", 2)
    gain: float = option("largest change of a channel's gain, as a share", 0.06)
    brightness: float = option("largest change of all channels' gain alike, as a share", 0.15)
    offset: float = option("largest offset of a channel, as a share of half the range", 0.06)

    def __post_init__(self) -> None:
        check_range(self, shift=(0, 256), gain=(0, 1), brightness=(0, 1), offset=(0, 1))


@dataclass(frozen=True)
class OptimiserConfig:
    """The optimisers, their schedule and the average of the weights."""

    kind: str = option("muon (for the blocks' matrices, AdamW for the rest) or adamw for all", "muon")
    lr: float = option("peak learning rate of AdamW", 1e-3)
    muon_lr: float = option("peak learning rate of Muon", 0.02)
    warmup: int = option("steps of linear warm-up", 300)
    decay: float = option("share of the run, at its end, over which the rate falls to zero; constant before", 0.3)
    weight_decay: float = option("of AdamW and Muon, relative to the rate", 0.01)
    clip: float = option("gradient norm that is clipped to", 1.0)
    ema: float = option("width of the weight average relative to the steps so far (arXiv 2312.02696)", 0.05)

    def __post_init__(self) -> None:
        if self.kind not in ("muon", "adamw"):
            raise ValueError(f"optimiser.kind={self.kind!r}: expected muon or adamw")
        check_range(self, lr=(0, None), muon_lr=(0, None), warmup=(0, None), decay=(0, 1), weight_decay=(0, None))
        check_range(self, clip=(1e-12, None), ema=(0, 1))


@dataclass(frozen=True)
class LogConfig:
    """Where metrics go beside the local log (metrics.jsonl and metrics.png)."""

    every: int = option("steps between two lines of the log", 20)
    tracker: str = option("none, tensorboard or wandb (extra `track`)", "none")

    def __post_init__(self) -> None:
        check_range(self, every=(1, None))
        if self.tracker not in ("none", "tensorboard", "wandb"):
            raise ValueError(f"log.tracker={self.tracker!r}: expected none, tensorboard or wandb")


@dataclass(frozen=True)
class ValidationConfig:
    """Closed-loop evaluation on validation starts while training, in a process of its own."""

    every: int = option("steps between two evaluations; 0 for none", 2500)
    episodes: int = option("validation starts per evaluation", 20)
    task: str = option("task to evaluate on", "place_can")

    def __post_init__(self) -> None:
        check_range(self, every=(0, None), episodes=(1, 10**6))


MODALITIES = "further kinds of signal to observe and predict: modalities.NAME=true, or modalities.NAME.OPTION=..."


@dataclass(frozen=True)
class TrainConfig:
    """Everything about a run. Sizes of models differ in ``backbone`` alone."""

    data: str = option("folder of the EpisodeStore, or lerobot:FOLDER_OR_REPO_ID; several are separated by commas")
    out: str = option("folder of the run; run again with the same folder to resume")
    steps: int = option("training steps in all", 10000)
    batch: int = option("observations per step in policy mode", 64)
    seed: int = option("of weights, data order, noise and augmentation", 0)
    tasks: tuple[str, ...] = option(
        "instructions that the model knows, in the order of its vocabulary", ("place_can", "lift_can")
    )
    inputs: str = option("pixels, or state for a control that reads the simulator's own state", "pixels")
    patch: int = option("side of a patch in pixels, 8 or 16", 16)
    size: int = option("side of the frames; others are cropped to their middle square and resized; 0 as recorded", 0)
    modalities: dict[str, Any] = field(default_factory=dict, hash=False, metadata={"help": MODALITIES})
    language: bool = option("read the instruction as a sentence (envs/instructions.yaml), not as a number", False)
    future: int = option("future frames per clip in the modes that have them", 2)
    holdout: float = option("share of each store's episodes kept for the held-out loss", 0.02)
    demonstrations: int = option("learn from the first so many episodes of each store only; 0 for all", 0)
    init: str | None = option("checkpoint to begin from: what it lacks begins afresh, ranges follow the data", None)
    features: str | None = option("for objective.name=repa: made by `worldmodel encode`, one per store", None)
    device: str = option("auto, cpu or cuda", "auto")
    compile: bool = option("compile the policy step (torch.compile; needs a C++ compiler)", True)
    cache_in_memory: bool = option("load all frames into memory first", True)
    cache_on_device: bool = option("keep all frames, states and actions on the device that learns", False)
    save_every: int = option("steps between two checkpoints", 500)
    keep: bool = option("keep the averaged weights of every save, in models/<step>", False)
    save_dtype: str = option("number format of the exported weights: float32 or bfloat16", "float32")
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    modes: ModesConfig = field(default_factory=ModesConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    log: LogConfig = field(default_factory=LogConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)

    def __post_init__(self) -> None:
        object.__setattr__(self, "modalities", complete(self.modalities))
        check_range(self, steps=(1, 10**9), batch=(1, 2**16), future=(1, 16), save_every=(1, None), seed=(0, 2**40))
        check_range(self, demonstrations=(0, None), patch=(4, 256), size=(0, 4096))
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"tasks={list(self.tasks)}: expected names, each once")
        if not 0 <= self.holdout < 1:
            raise ValueError(f"holdout={self.holdout}: expected a share in [0, 1)")
        if self.inputs not in ("pixels", "state"):
            raise ValueError(f"inputs={self.inputs!r}: expected pixels or state")
        modes = self.modes
        if self.inputs == "state" and modes.joint + modes.forward + modes.inverse + modes.video + modes.rollout > 0:
            raise ValueError("inputs=state has no frames: set modes.joint, forward, inverse, video and rollout to 0")
        if self.objective.spec.external and not self.features:
            make = f"worldmodel encode data={self.data} out=FOLDER"
            raise ValueError(f"objective.name={self.objective.name} needs features=FOLDER; make them with `{make}`")
        if self.size < 0 or self.size % self.patch:
            raise ValueError(f"size={self.size}: expected a multiple of patch={self.patch}, or 0 for as recorded")
        if self.device not in ("auto", "cpu", "cuda"):
            raise ValueError(f"device={self.device!r}: expected auto, cpu or cuda")
        if self.save_dtype not in ("float32", "bfloat16"):
            raise ValueError(f"save_dtype={self.save_dtype!r}: expected float32 or bfloat16")
