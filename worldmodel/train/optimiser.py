"""The optimisers, their schedule, and the exponential moving average of the weights."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worldmodel.backbone import fast_dtype
from worldmodel.train.config import OptimiserConfig


class Optimiser:
    """AdamW and, for the blocks' matrices, Muon, stepped as one on a shared schedule."""

    def __init__(self, model: nn.Module, config: OptimiserConfig, steps: int) -> None:
        self.config, self.steps = config, steps
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.parts = parts(dict(model.named_parameters()), config)
        self.peaks = [config.lr, config.muon_lr][: len(self.parts)]

    def lr_scale(self, step: int) -> float:
        """Share of the peak rate at a step."""
        return lr_scale(step, self.steps, self.config.warmup, self.config.decay)

    def update(self, step: int) -> Tensor:
        """Clip, step and clear; returns the gradient norm before clipping."""
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.clip, foreach=True)
        for part, peak in zip(self.parts, self.peaks, strict=True):
            for group in part.param_groups:
                group["lr"] = peak * self.lr_scale(step)
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
        states: list[dict[int, dict[str, Tensor]]] = [{} for _ in self.parts]
        for name, value in tensors.items():
            number, index, kind = name.split(".", 2)
            states[int(number)].setdefault(int(index), {})[kind] = value
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict({"state": state, "param_groups": part.state_dict()["param_groups"]})


def parts(named: Mapping[str, nn.Parameter], config: OptimiserConfig) -> list[torch.optim.Optimizer]:
    """AdamW for ``named`` parameters and, with ``kind="muon"``, Muon for those matrices that lie between hidden layers.

    Embeddings, heads, gains and convolutions are none of these.
    """
    inner = {name for name in named if ".blocks." in f".{name}" and "modulation" not in name}
    hidden = {name for name in inner if config.kind == "muon" and named[name].ndim == 2}
    matrices = [p for name, p in named.items() if name in hidden]
    others = [p for name, p in named.items() if name not in hidden]
    groups = [
        {"params": [p for p in others if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.95), fused=True)
    return [adam, Muon(matrices, config.muon_lr, config.weight_decay)] if matrices else [adam]


def lr_scale(step: int, steps: int, warmup: int, decay: float) -> float:
    """Share of the peak rate at a step: up over ``warmup`` steps, constant, to zero over the last ``decay`` of all."""
    up = (step + 1) / max(warmup, 1)
    down = (steps - step) / max(decay * steps, 1)
    return max(min(1.0, up, down), 0.0)


@torch.no_grad()
def average(ema: nn.Module, model: nn.Module, step: int, width: float) -> None:
    """Move the average towards the weights. Its memory is ``width`` times the steps so far (0: a plain copy)."""
    keep = (1 - 1 / (step + 1)) ** (1 / width + 1) if width > 0 else 0.0
    torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - keep)
    for target, source in zip(ema.buffers(), model.buffers(), strict=True):
        target.copy_(source)


def orthogonalise(x: Float[Tensor, "n r c"], rounds: int = 5) -> Float[Tensor, "n r c"]:
    """Each matrix's nearest orthogonal one, roughly: Newton-Schulz iterations, all matrices at once."""
    a, b, c = 3.4445, -4.7750, 2.0315  # the quintic that drives singular values towards 1 (Muon, Jordan et al. 2024)
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / x.flatten(1).norm(dim=1).clamp(min=1e-7)[:, None, None]
    for _ in range(rounds):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """torch.optim.Muon's rule with its ``original`` rate, in the number format that the machine multiplies fast.

    torch's own always computes in bfloat16, which many processors emulate. Matrices of one shape go together.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], rate: float, decay: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": rate, "weight_decay": decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # returns no loss
        """One update of every matrix that has a gradient."""
        for group in self.param_groups:
            trained = [matrix for matrix in group["params"] if matrix.grad is not None]
            for shape in dict.fromkeys(matrix.shape for matrix in trained):
                self._update([matrix for matrix in trained if matrix.shape == shape], group)

    def _update(self, matrices: list[nn.Parameter], group: dict[str, Any]) -> None:
        """Nesterov momentum, orthogonalised; then decay and step."""
        directions = []
        for matrix in matrices:
            state, gradient = self.state[matrix], matrix.grad
            assert gradient is not None
            buffer = state.setdefault("momentum_buffer", torch.zeros_like(matrix))
            buffer.lerp_(gradient, 1 - group["momentum"])
            directions.append(gradient.lerp(buffer, group["momentum"]))
        stacked = torch.stack(directions)
        straight = orthogonalise(stacked.to(fast_dtype(stacked.device))).to(stacked.dtype)
        rows, columns = stacked.shape[1:]
        rate = group["lr"] * max(1, rows / columns) ** 0.5
        for matrix, direction in zip(matrices, straight, strict=True):
            matrix.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-rate)
