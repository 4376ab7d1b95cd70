"""worldmodel's optimiser and schedule as LeRobot wants them: one torch optimiser, one scheduler, both from configs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from lerobot.optim import LRSchedulerConfig, OptimizerConfig
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from worldmodel.train.config import OptimiserConfig
from worldmodel.train.optimiser import lr_scale, parts


class Together(torch.optim.Optimizer):
    """Several optimisers of different parameters as one: their groups and their state are its own."""

    def __init__(self, optimisers: list[torch.optim.Optimizer]) -> None:
        self.optimisers = optimisers
        super().__init__([group for part in optimisers for group in part.param_groups], {})
        self._share()

    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # returns no loss
        """One step of each."""
        for part in self.optimisers:
            part.step()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        """Schedulers and saved states change groups and state here: each part must see the same objects."""
        first = 0
        for part in self.optimisers:
            count = len(part.param_groups)
            part.param_groups, part.state = self.param_groups[first : first + count], self.state
            first += count


@OptimizerConfig.register_subclass("worldmodel")
@dataclass
class WorldModelOptimizerConfig(OptimizerConfig):
    """Muon for the blocks' matrices and AdamW for the rest, or AdamW for all (``kind``), as in ``worldmodel train``."""

    lr: float = 1e-3
    weight_decay: float = 0.01
    grad_clip_norm: float = 1.0
    kind: str = "muon"
    muon_lr: float = 0.02

    def build(self, params: Any) -> torch.optim.Optimizer:
        """The optimiser of named parameters (`WorldModelPolicy.get_optim_params`)."""
        if not isinstance(params, dict):
            raise ValueError("optimizer worldmodel: expected named parameters; use it with --policy.type=worldmodel")
        named: dict[str, nn.Parameter] = params
        config = OptimiserConfig(kind=self.kind, lr=self.lr, muon_lr=self.muon_lr, weight_decay=self.weight_decay)
        return Together(parts(named, config))


@LRSchedulerConfig.register_subclass("worldmodel")
@dataclass
class WorldModelSchedulerConfig(LRSchedulerConfig):
    """Linear warm-up, constant, and a linear fall to zero over the last ``decay`` of the run."""

    num_warmup_steps: int | None = 300
    decay: float = 0.3

    def build(self, optimizer: torch.optim.Optimizer, num_training_steps: int) -> LambdaLR:
        """The schedule over a run of so many steps."""
        warmup = self.num_warmup_steps or 0
        return LambdaLR(optimizer, lambda step: lr_scale(step, num_training_steps, warmup, self.decay))
