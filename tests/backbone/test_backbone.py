"""The backbone: two passes equal one masked pass, and order carries no information."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from worldmodel.backbone import Backbone, BackboneConfig
from worldmodel.backbone.attention import rotate
from worldmodel.tokens import TokenSequence


def make(depth: int = 3) -> Backbone:
    torch.manual_seed(0)
    backbone = Backbone(BackboneConfig(width=32, depth=depth, heads=2))
    for parameter in backbone.parameters():  # off the zero initialisation, so that noise matters
        parameter.data += 0.1 * torch.randn_like(parameter)
    return backbone.eval()


def stream(tokens: int, levels: list[list[float]], level_index: Tensor) -> TokenSequence:
    positions = torch.rand(tokens, 3)
    return TokenSequence(torch.randn(2, tokens, 32), positions, torch.tensor(levels), level_index)


def given(tokens: int = 5) -> TokenSequence:
    return stream(tokens, [[0.0]], torch.zeros(1, tokens, dtype=torch.int64))


def wanted(tokens: int = 4) -> TokenSequence:
    return stream(tokens, [[0.3, 0.8], [0.5, 0.1]], torch.randint(0, 2, (2, tokens)))


def noise_of(sequence: TokenSequence) -> Tensor:
    """Noise of every token, (B, N)."""
    return torch.gather(sequence.levels, 1, sequence.level_index.expand(len(sequence.levels), -1))


def one_masked_pass(backbone: Backbone, first: TokenSequence, second: TokenSequence) -> Tensor:
    """The slow truth: all tokens in one sequence, a mask that keeps the given from seeing the wanted."""
    n, total = len(first), len(first) + len(second)
    noise = torch.cat([noise_of(first).expand(2, -1), noise_of(second)], dim=1)
    shared = backbone.noise(noise)
    turn = backbone.rotary(torch.cat([first.positions, second.positions]))
    mask = torch.ones(total, total, dtype=torch.bool)
    mask[:n, n:] = False
    x = torch.cat([first.values, second.values], dim=1)
    for block in backbone.blocks:
        modulation = (shared + block.modulation).chunk(6, -1)
        q, k, v = block.keys(x, modulation, turn)
        scores = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~mask, float("-inf"))
        read = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + modulation[2] * block.attention.out(read)
        x = x + modulation[5] * block.mlp(block.norm_mlp(x) * (1 + modulation[4]) + modulation[3])
    shift, scale = (shared[..., :64] + backbone.final).chunk(2, -1)
    return (backbone.norm(x) * (1 + scale) + shift)[:, n:]


@pytest.mark.parametrize("grad", [True, False])
def test_two_passes_equal_one_masked_pass(grad: bool) -> None:
    backbone, first, second = make(), given(), wanted()
    with torch.set_grad_enabled(grad):
        fast, _ = backbone(second, backbone.observe(first)[0])
        torch.testing.assert_close(fast, one_masked_pass(backbone, first, second), atol=2e-5, rtol=1e-4)


def test_tokens_may_come_in_any_order() -> None:
    backbone, memory, second = make(), make().observe(given())[0], wanted()
    order = torch.tensor([2, 0, 3, 1])
    shuffled = replace(
        second,
        values=second.values[:, order],
        positions=second.positions[order],
        level_index=second.level_index[:, order],
    )
    torch.testing.assert_close(backbone(shuffled, memory)[0], backbone(second, memory)[0][:, order])


def test_a_constant_vector_of_noise_equals_a_scalar() -> None:
    backbone, memory, second = make(), make().observe(given())[0], wanted()
    scalar = replace(second, levels=torch.full((2, 1), 0.4), level_index=torch.zeros(1, 4, dtype=torch.int64))
    vector = replace(second, levels=torch.full((2, 2), 0.4))
    torch.testing.assert_close(backbone(scalar, memory)[0], backbone(vector, memory)[0])


def test_the_tap_is_what_the_teacher_computes() -> None:
    backbone, memory, second = make(), make().observe(given())[0], wanted()
    _, after = backbone(second, memory)
    torch.testing.assert_close(after[2], backbone.run(second, memory, 2, None)[0][-1])


@pytest.mark.parametrize("grad", [True, False])
def test_tokens_read_only_what_they_are_allowed_to(grad: bool) -> None:
    backbone, memory, second = make(), make().observe(given())[0], wanted()
    allowed = torch.eye(4, dtype=torch.bool)[None].expand(2, -1, -1)
    with torch.set_grad_enabled(grad):
        apart = backbone(second, memory, allowed)[0]
        for i in range(4):
            one = slice(i, i + 1)
            alone = replace(
                second,
                values=second.values[:, one],
                positions=second.positions[one],
                level_index=second.level_index[:, one],
            )
            torch.testing.assert_close(backbone(alone, memory)[0], apart[:, one], atol=2e-5, rtol=1e-4)
        everything = torch.ones_like(allowed)
        torch.testing.assert_close(backbone(second, memory, everything)[0], backbone(second, memory)[0])


def test_rotation_depends_on_relative_places_only() -> None:
    backbone = make()
    q, k = torch.randn(1, 2, 1, 16), torch.randn(1, 2, 1, 16)

    def score(a: list[float], b: list[float]) -> Tensor:
        positions = [backbone.rotary(torch.tensor([p])) for p in (a, b)]
        return (rotate(q, positions[0]) * rotate(k, positions[1])).sum(-1)

    near = score([0.1, 0.2, 0.3], [0.5, 0.1, 0.9])
    torch.testing.assert_close(near, score([1.1, 0.5, 0.0], [1.5, 0.4, 0.6]), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(near, score([0.1, 0.2, 0.3], [0.6, 0.1, 0.9]), atol=1e-3)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="width 32 over 3 heads"):
        BackboneConfig(width=32, heads=3)
