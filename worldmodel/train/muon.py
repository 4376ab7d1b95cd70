"""Muon: momentum made orthogonal, for the matrices between hidden layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worldmodel.backbone import fast_dtype

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic that drives singular values towards 1 (Muon, Jordan et al. 2024)."""


def orthogonalise(x: Float[Tensor, "n r c"], rounds: int = 5) -> Float[Tensor, "n r c"]:
    """Each matrix's nearest orthogonal one, roughly: Newton-Schulz iterations, all matrices at once."""
    a, b, c = COEFFICIENTS
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / x.flatten(1).norm(dim=1).clamp(min=1e-7)[:, None, None]
    for _ in range(rounds):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """torch.optim.Muon's rule with its ``original`` rate, computed in the format that the machine multiplies fast.

    torch's own always computes in bfloat16, which a processor without it emulates: there it took two thirds of a
    training step. Matrices of one shape are also handled together.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], rate: float, decay: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": rate, "weight_decay": decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # returns no loss
        """One update of every matrix that has a gradient."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike.setdefault(parameter.shape, []).append(parameter)
            for matrices in alike.values():
                self._update(matrices, group)

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
