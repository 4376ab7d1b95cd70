"""Does a representation loss teach anything? Measured where the log is written.

A student that predicts what all samples share reaches the ``mean_direction`` of its teacher's features; one that
copies its own features reaches ``identity``. An alignment that is high and no higher than these teaches nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from worldmodel.flow import NoiseSample
from worldmodel.model import WorldModel
from worldmodel.objectives import ObjectiveConfig
from worldmodel.schema import Clip
from worldmodel.train.state import TrainState
from worldmodel.train.step import Loss

SATURATED, MARGIN, EARLY = 0.9, 0.05, 0.2
"""The alarm: a cosine above the first, within the second of what costs nothing, before this share of a run."""
ROWS = 8  # observations of the step's batch that gradients are measured on: a fraction of a step's work
REPRESENTATION = ("align", "external", "disperse")
"""Losses beside flow matching; each is weighted by the objective's field of that name."""

type Batch = tuple[str, Clip, dict[str, NoiseSample]]
"""Mode, clip and noise of a step."""


def diagnose(learner: TrainState, loss: Loss, batch: Batch, objective: ObjectiveConfig) -> dict[str, float]:
    """What to log beside the losses: ``ema_drift`` and, with a representation loss, ``<mode>/gradient_ratio``.

    ``loss``, not compiled, is called once, on part of the batch. Draws no random numbers, leaves no gradients behind.
    """
    out = {"ema_drift": round(drift(learner.model, learner.ema), 6)}
    spec = objective.spec
    if spec.teacher != "none" or spec.external or spec.disperse:
        mode, clip, noise = few(batch)
        ratio = gradient_ratio(learner.model, loss(clip, mode, noise), objective)
        out |= {} if ratio is None else {f"{mode}/gradient_ratio": round(ratio, 5)}
    return out


@torch.no_grad()
def drift(model: torch.nn.Module, average: torch.nn.Module) -> float:
    """Distance between the weights and their average, relative to the weights' norm."""
    weights, means = ([p.detach().float() for p in part.parameters()] for part in (model, average))
    gaps = torch.stack([(w - m).norm() for w, m in zip(weights, means, strict=True)])
    return float(gaps.norm() / torch.stack([w.norm() for w in weights]).norm())


def gradient_ratio(model: WorldModel, found: Mapping[str, Tensor], objective: ObjectiveConfig) -> float | None:
    """Norm of the weighted representation losses' gradient over the flow losses', on the backbone's parameters.

    ``found`` are the losses of one batch, with their graph. None where the batch has no representation loss.
    """
    parts = [getattr(objective, name) * found[name] for name in REPRESENTATION if name in found]
    if not parts:
        return None
    representation = torch.stack(parts).sum()
    weights = [p for p in model.backbone.parameters() if p.requires_grad]

    def norm(value: Tensor, keep: bool) -> Tensor:
        gradients = torch.autograd.grad(value, weights, retain_graph=keep, allow_unused=True)
        return torch.stack([g.float().norm() for g in gradients if g is not None]).norm()

    own = norm(representation, keep=True)
    return float(own / norm(found["loss"] - representation, keep=False).clamp(min=1e-12))


def few(batch: Batch, rows: int = ROWS) -> Batch:
    """The first observations of a batch, with all noise samples that belong to them."""
    mode, clip, noise = batch
    size = len(clip.state)

    def part(draw: NoiseSample) -> NoiseSample:
        kept = rows * (len(draw.eps) // size)  # what all samples share has one row, and keeps it
        names = ("eps", "levels", "level_index", *(("nearer",) if draw.nearer is not None else ()))
        return replace(draw, **{name: getattr(draw, name)[:kept] for name in names})

    return mode, clip.map(lambda array: array[:rows]), {name: part(draw) for name, draw in noise.items()}


def saturation(rows: Sequence[Mapping[str, float]], steps: int) -> str | None:
    """A warning, where the log's last row is the first to show an alignment that teaches nothing early in a run.

    ``rows`` of ``metrics.jsonl`` so far, of a run of ``steps`` steps; reading them makes it once, resumes included.
    """
    early = [row for row in rows if row["step"] < EARLY * steps]
    found = _inert(rows[-1]) if early and early[-1] is rows[-1] else None
    if found is None or any(_inert(row) for row in early[:-1]):
        return None
    mode, cosine, free = found
    return (
        f"step {rows[-1]['step']}: the representation loss is saturated ({mode}: teacher-student cosine {cosine:.2f}, "
        f"{free:.2f} is to be had for nothing), so it teaches little; try objective.centre=true, a lower "
        "objective.student, or a higher noise.frames.masked"
    )


def _inert(row: Mapping[str, float]) -> tuple[str, float, float] | None:
    """Mode, cosine and the best cosine without effort, where a row's alignment is high and no better; else None."""
    for name, value in row.items():
        mode, _, kind = name.partition("/")
        if kind == "align":
            free = max(row.get(f"{mode}/{key}", -1.0) for key in ("mean_direction", "identity"))
            if -value > SATURATED and -value - free < MARGIN:
                return mode, -value, free
    return None
