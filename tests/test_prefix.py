"""Actions that are under way are given, teach nothing, and come back as they were."""

from dataclasses import replace

import pytest
import torch
from small import small_clip, small_given, small_model

from worldmodel.flow import NoiseSample
from worldmodel.objectives import OBJECTIVES, ObjectiveConfig, TimestepDistribution, draw_noise, loss
from worldmodel.objectives.training import groups_apart, present


def committed(kind: str, masked: float = 0.0, batch: int = 40) -> NoiseSample:
    return draw_noise(
        TimestepDistribution(prefix=3, masked=masked),
        (batch, 16, 4),
        torch.Generator().manual_seed(0),
        OBJECTIVES[kind],
    )


@pytest.mark.parametrize(("kind", "masked"), [("flow", 0.0), ("self_flow", 0.4), ("sra", 0.4)])
def test_a_prefix_is_clean_for_student_and_teacher(kind: str, masked: float) -> None:
    draw = committed(kind, masked)
    counts = (draw.noise()[..., 0] == 0).sum(1)
    assert set(counts.tolist()) == {0, 1, 2, 3}
    first = torch.arange(16) < counts[:, None]
    assert (draw.noise()[..., 0][first] == 0).all() and (draw.noise()[..., 0][~first] > 0).all()
    cleaner = draw.teacher().noise()[..., 0]
    assert (cleaner[first] == 0).all() and (cleaner <= draw.noise()[..., 0]).all()
    if kind == "flow":
        torch.testing.assert_close(cleaner, draw.noise()[..., 0])
    plain = draw_noise(
        TimestepDistribution(masked=masked), (40, 16, 4), torch.Generator().manual_seed(0), OBJECTIVES[kind]
    )
    assert torch.equal(plain.eps, draw.eps) and torch.equal(plain.levels[:, 0], draw.levels[:, 0])


def test_a_prefix_teaches_nothing() -> None:
    model, clip = small_model(), small_clip(4)
    draw = committed("flow", batch=4)
    found = present(model, clip, "policy", {"actions": draw})["actions"]
    given = draw.noise()[..., 0] == 0
    assert given.any() and not found.valid[given].any() and found.valid[~given].all()
    assert torch.equal(found.noisy[given], found.clean[given])
    assert loss(model, clip, "policy", {"actions": draw}, ObjectiveConfig())["loss"].isfinite()


def test_a_prefix_belongs_to_no_noise_group() -> None:
    model, clip = small_model(projector=True), small_clip(4)
    draw = committed("separated", 0.4, batch=4)
    allowed = groups_apart({"actions": draw}, present(model, clip, "policy", {"actions": draw}))
    assert allowed is not None
    given = draw.noise()[..., 0] == 0
    assert allowed[given].all() and allowed.mT[given].all() and not allowed.all()


def test_the_chunk_continues_what_is_committed() -> None:
    model, given = small_model(), small_given(3)
    model.config = replace(model.config, prefix=4)
    prefix = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(5))
    start = torch.randn(3, 16, 4, generator=torch.Generator().manual_seed(6))
    free = model.act(given, start=start)
    bound = model.act(replace(given, prefix=prefix, committed=torch.tensor([0, 2, 4])), start=start)
    torch.testing.assert_close(bound[0], free[0])
    torch.testing.assert_close(bound[1, :2], prefix[1, :2])
    torch.testing.assert_close(bound[2, :4], prefix[2])
    assert not torch.allclose(bound[2, 4:], free[2, 4:]), "the rest knows of the prefix"
    with pytest.raises(ValueError, match="continues up to 4"):
        model.act(replace(given, prefix=torch.rand(3, 5, 4)))
