"""The optimisers, their schedule, and the exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from worldmodel.train.config import OptimiserConfig
from worldmodel.train.muon import Muon


class Optimiser:
    """AdamW and, for the blocks' matrices, Muon, stepped as one on a shared schedule."""

    def __init__(self, model: nn.Module, config: OptimiserConfig, steps: int) -> None:
        self.config, self.steps = config, steps
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.parts = parts(dict(model.named_parameters()), config)
        self.peaks = [config.lr, config.muon_lr][: len(self.parts)]

    def fraction(self, step: int) -> float:
        """Share of the peak rate at a step: warm-up, constant, linear decay to zero."""
        return fraction(step, self.steps, self.config.warmup, self.config.decay)

    def update(self, step: int) -> Tensor:
        """Clip, step and clear; returns the gradient norm before clipping."""
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.clip, foreach=True)
        for part, peak in zip(self.parts, self.peaks, strict=True):
            for group in part.param_groups:
                group["lr"] = peak * self.fraction(step)
            part.step()
            part.zero_grad(set_to_none=True)
        return norm

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor of the optimisers' state, named by optimiser, parameter and kind."""
        for number, part in enumerate(self.parts):
            for index, state in part.state_dict()["state"].items():
                for kind, value in state.items():
                    yield f"{number}.{index}.{kind}", torch.as_tensor(value)

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take back what ``state`` gave."""
        for number, part in enumerate(self.parts):
            whole = part.state_dict()
            state: dict[int, dict[str, Tensor]] = {}
            for name, value in tensors.items():
                level_index, index, kind = name.split(".", 2)
                if int(level_index) == number:
                    state.setdefault(int(index), {})[kind] = value
            part.load_state_dict({"state": state, "param_groups": whole["param_groups"]})


def parts(named: Mapping[str, nn.Parameter], config: OptimiserConfig) -> list[torch.optim.Optimizer]:
    """AdamW for ``named`` parameters and, with ``kind="muon"``, Muon for the hidden matrices among them."""
    hidden = {name for name, p in named.items() if config.kind == "muon" and _is_hidden_matrix(name, p)}
    matrices = [p for name, p in named.items() if name in hidden]
    others = [p for name, p in named.items() if name not in hidden]
    groups = [
        {"params": [p for p in others if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.95), fused=True)
    return [adam, Muon(matrices, config.muon_lr, config.weight_decay)] if matrices else [adam]


def fraction(step: int, steps: int, warmup: int, decay: float) -> float:
    """Share of the peak rate at a step: up over ``warmup`` steps, constant, to zero over the last ``decay`` of all."""
    up = (step + 1) / max(warmup, 1)
    down = (steps - step) / max(decay * steps, 1)
    return max(min(1.0, up, down), 0.0)


def _is_hidden_matrix(name: str, parameter: Tensor) -> bool:
    """Muon is meant for matrices between hidden layers, not for embeddings, heads, gains or convolutions."""
    return parameter.ndim == 2 and ".blocks." in f".{name}" and "modulation" not in name


@torch.no_grad()
def average(ema: nn.Module, model: nn.Module, step: int, width: float) -> None:
    """Move the average towards the weights. Its memory is ``width`` times the steps so far (0: a plain copy)."""
    keep = (1 - 1 / (step + 1)) ** (1 / width + 1) if width > 0 else 0.0
    torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - keep)
    for target, source in zip(ema.buffers(), model.buffers(), strict=True):
        target.copy_(source)
