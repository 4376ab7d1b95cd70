"""What LeRobot needs to know of a world model: ``--policy.type=worldmodel`` and everything below ``--policy.``."""

from __future__ import annotations

from dataclasses import dataclass, field

from lerobot.configs import NormalizationMode
from lerobot.configs.policies import PreTrainedConfig

from lerobot_policy_worldmodel.optim import WorldModelOptimizerConfig, WorldModelSchedulerConfig
from worldmodel.model import ModelConfig
from worldmodel.objectives import NoiseConfig, ObjectiveConfig, RolloutConfig
from worldmodel.schema import ACTION, STATE
from worldmodel.train.config import AugmentConfig, ModesConfig, OptimiserConfig, TrainConfig


@PreTrainedConfig.register_subclass("worldmodel")
@dataclass
class WorldModelConfig(PreTrainedConfig):
    """worldmodel's own configs, each where LeRobot's command line reaches it (``--policy.model.backbone.width=192``).

    model: its inputs and outputs; cameras, sizes, widths, rate and tasks come from the data, the rest is yours to set.
    modes, rollout, objective, noise, augment, optimiser: as in ``worldmodel train``; objective ``repa`` is not for
    LeRobot.
    size: side of the frames in pixels; others are cropped to their middle square and resized; 0 takes them as recorded.
    `moments`: control steps after the observation whose frames are loaded; two of them, drawn at random, are a
    sample's. Those that the modes inverse and rollout need as well are added.
    execute: actions carried out of each chunk. sampler_steps: sampling steps per chunk. seed: of weights and training.
    task: what is to be done where a batch does not say it. compile: compile the policy mode's loss.
    save_predicted_video: let ``lerobot-eval`` write what the model imagined, beside its own videos.
    fitted: whether ``model`` has its final shape; set by the policy once it has seen the data, and saved with it.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    modes: ModesConfig = field(default_factory=ModesConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    size: int = 0
    moments: tuple[int, ...] = (1, 2, 4, 8, 12, 16)
    execute: int = 8
    sampler_steps: int = 2
    seed: int = 0
    task: str | None = None
    compile: bool = False
    save_predicted_video: bool = False
    fitted: bool = False
    normalization_mapping: dict[str, NormalizationMode] = field(
        # The model has ranges of its own, fitted per step of the chunk: LeRobot must not scale a second time.
        default_factory=lambda: dict.fromkeys(("VISUAL", "STATE", "ENV", "ACTION"), NormalizationMode.IDENTITY)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        chunk_size = self.model.chunk_size
        if not 1 <= self.execute <= chunk_size:
            raise ValueError(f"policy.execute={self.execute}: expected 1 to {chunk_size}, the chunk's length")
        if self.sampler_steps < 1:
            raise ValueError(f"policy.sampler_steps={self.sampler_steps}: expected at least 1")
        if self.needs_frames and (len(self.moments) < 2 or not all(1 <= at <= chunk_size for at in self.moments)):
            raise ValueError(
                f"policy.moments={list(self.moments)}: expected two or more control steps, 1 to {chunk_size}"
            )
        if self.objective.spec.external:
            raise ValueError(f"policy.objective.name={self.objective.name}: train it with `worldmodel train`")
        if self.rollout.memory:
            raise ValueError(f"policy.rollout.memory={self.rollout.memory}: train it with `worldmodel train`")
        if any(mode is not NormalizationMode.IDENTITY for mode in self.normalization_mapping.values()):
            raise ValueError("policy.normalization_mapping: expected IDENTITY for all; the model scales by itself")

    @property
    def needs_frames(self) -> bool:
        """Whether any mode that is trained has future frames."""
        modes = self.modes
        return modes.joint + modes.forward + modes.inverse + modes.video + modes.rollout > 0

    @property
    def later_steps(self) -> list[int]:
        """Control steps after the observation whose frames and states are loaded, ascending."""
        in_a_row = TrainConfig.future if self.modes.inverse > 0 else 0
        if self.modes.rollout > 0:
            in_a_row = max(in_a_row, self.rollout.window + self.rollout.burn_in)
        return sorted({*self.moments, *range(1, in_a_row + 1)})

    @property
    def observation_delta_indices(self) -> list[int] | None:
        """The observation, and the later frames that training may need of it."""
        return [0, *self.later_steps] if self.needs_frames else None

    @property
    def action_delta_indices(self) -> list[int]:
        """One chunk."""
        return list(range(self.model.chunk_size))

    @property
    def reward_delta_indices(self) -> None:
        """Rewards are not used."""
        return

    def get_optimizer_preset(self) -> WorldModelOptimizerConfig:
        """``optimiser`` in LeRobot's terms."""
        mine = self.optimiser
        return WorldModelOptimizerConfig(mine.lr, mine.weight_decay, mine.clip, mine.kind, mine.muon_lr)

    def get_scheduler_preset(self) -> WorldModelSchedulerConfig:
        """Warm-up, constant rate, linear fall."""
        return WorldModelSchedulerConfig(self.optimiser.warmup, self.optimiser.decay)

    def validate_features(self) -> None:
        """ValueError, one line, where data or env lack what the model needs."""
        names = ", ".join([*(self.input_features or {}), *(self.output_features or {})])
        if self.action_feature is None or self.robot_state_feature is None or not self.image_features:
            raise ValueError(f"policy worldmodel needs camera frames, {STATE} and {ACTION}; there is: {names}")

    def training(self) -> TrainConfig:
        """The same as a config of ``worldmodel train``, for the code that both share."""
        shared = ("seed", "compile", "modes", "rollout", "objective", "noise", "augment", "optimiser")
        model = {name: getattr(self.model, name) for name in ("tasks", "patch")}
        return TrainConfig(data="", out="", **model, **{name: getattr(self, name) for name in shared})
