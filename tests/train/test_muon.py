"""Our Muon against torch's, and against what it promises."""

import torch
from torch import nn

from worldmodel.train.optimiser import Muon, orthogonalise


def test_it_is_torchs_rule() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(8, 24), (24, 8), (8, 8), (8, 24)]
    ours, theirs = ([nn.Parameter(torch.ones(shape)) for shape in shapes] for _ in range(2))
    mine = Muon(ours, 0.02, 0.1)
    reference = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, adjust_lr_fn="original")
    for _ in range(3):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=generator)
            b.grad = a.grad.clone()
        mine.step()
        reference.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=2e-3, rtol=0)  # theirs computes in bfloat16; a step is 0.02
        torch.testing.assert_close(
            mine.state[a]["momentum_buffer"], reference.state[b]["momentum_buffer"], atol=1e-6, rtol=1e-5
        )


def test_singular_values_come_near_one() -> None:
    values = torch.linalg.svdvals(orthogonalise(torch.randn(3, 6, 20, generator=torch.Generator().manual_seed(0))))
    assert values.min() > 0.5 and values.max() < 1.5
