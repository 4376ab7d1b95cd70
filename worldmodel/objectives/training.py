"""The loss of a batch: one path through the model for every objective."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldmodel.flow import MODES, ROLLOUT, NoiseSample, mix
from worldmodel.model import WorldModel
from worldmodel.objectives.config import ObjectiveConfig
from worldmodel.objectives.losses import alignment, dispersion, flow_loss, mean_direction, regression_loss
from worldmodel.schema import Clip

type Losses = dict[str, Tensor]


@dataclass(frozen=True)
class Present:
    """One modality in one batch, in model units: clean, noisy, which tokens have a loss, and whether it is wanted."""

    clean: Float[Tensor, "B N d"]
    noisy: Float[Tensor, "B N d"]
    valid: Bool[Tensor, "B N"]
    wanted: bool


def loss(
    model: WorldModel,
    clip: Clip,
    mode: str,
    noise: dict[str, NoiseSample],
    objective: ObjectiveConfig,
    teacher: WorldModel | None = None,
) -> Losses:
    """Losses of one batch in one mode; entry ``loss`` is what training minimises. Mode rollout: see `rollout_loss`.

    ``noise`` holds samples for every modality that takes part, and for the observed frames (``observed``) where they
    are noised; in policy mode its batch may be a multiple of the clip's: several noise samples per observation.
    ``teacher``: the moving average of the model, for objectives that have one.
    """
    if mode == ROLLOUT:
        from worldmodel.objectives.self_forcing import rollout_loss  # here: few runs have rollouts

        return rollout_loss(model, clip, noise, objective)
    clip = without_absent(clip, mode)
    spec, signals = objective.spec, present(model, clip, mode, noise)
    noisy = {name: signal.noisy for name, signal in signals.items()}
    observed = model.observe(clip, noise.get("observed"), later(model, clip, noise))
    cache = observed.repeat(_repeats(noisy, clip))
    allowed = groups_apart(noise, signals) if spec.separated else None
    features, after = model.backbone(model.sequence(noisy, noise, clip.at), cache.kv, allowed)
    predicted = model.read(features, noisy, cache.last)

    losses: Losses = {}
    for name, signal in signals.items():
        if signal.wanted:
            level = noise[name].noise()
            if spec.passes and name == "actions":
                losses[name] = regression_loss(predicted[name], signal.clean, level, signal.valid)
            else:
                floor = model.modalities[name].floor
                losses[name] = flow_loss(predicted[name], signal.clean, level, signal.valid, floor)
    weighted = (objective.weight(name, model.modalities[name]) * value for name, value in losses.items())
    total = sum(weighted, torch.zeros(()).to(cache.last))

    wanted = [draw for n, draw in noise.items() if n == "observed" or signals[n].wanted]
    uneven = [draw for draw in wanted if draw.levels.shape[1] > 1 + draw.given or draw.nearer is not None]
    if spec.teacher != "none" and uneven:
        found = _align(model, teacher, clip, signals, noise, objective, (observed.after, after), allowed)
        asymmetry = [(draw.noise() - draw.teacher().noise()).mean() for draw in uneven]
        losses |= found | {"asymmetry": torch.stack(asymmetry).mean()}
        total = total + objective.align * found["align"]
    if spec.disperse:
        losses["disperse"] = dispersion(after[max(1, round(len(after[1:]) / 4))])
        total = total + objective.disperse * losses["disperse"]
    if spec.external and "frames" in signals and signals["frames"].wanted:
        student, _ = objective.taps(model.config.backbone.depth)
        losses["external"] = _repa_loss(model, clip, after[student], noisy)
        total = total + objective.external * losses["external"]
    return {"loss": total, **losses}


def without_absent(clip: Clip, mode: str) -> Clip:
    """The clip without its later frames where the mode leaves frames out."""
    return replace(clip, future=None, future_pixels=None, at=None) if MODES[mode].frames == "absent" else clip


def later(model: WorldModel, clip: Clip, noise: dict[str, NoiseSample]) -> Tensor | None:
    """Patches of a clip's later frames where they are given, clean, with the observation."""
    return model.frames.truth(clip, False) if clip.future is not None and "frames" not in noise else None


def present(model: WorldModel, clip: Clip, mode: str, noise: dict[str, NoiseSample]) -> dict[str, Present]:
    """Every modality that ``noise`` has a sample for; its batch may be a multiple of the clip's."""
    roles, out = MODES[mode], {}
    for name, modality in model.modalities.items():
        if name in noise:
            wanted = getattr(roles, modality.role) == "wanted"
            clean, valid = modality.truth(clip, wanted), modality.valid(clip)
            repeats, level = len(noise[name].eps) // len(clean), noise[name].noise()
            clean, valid = clean.repeat_interleave(repeats, 0), valid.repeat_interleave(repeats, 0)
            if noise[name].given:  # a given prefix has no loss
                valid = valid & (level[..., 0] > 0)
            out[name] = Present(clean, mix(clean, noise[name].eps, level), valid, wanted)
    return out


def groups_apart(noise: dict[str, NoiseSample], signals: dict[str, Present]) -> Bool[Tensor, "B N N"] | None:
    """Which tokens may attend to which: the two noise groups of a modality not to each other. None for one group."""
    if not any(noise[name].levels.shape[1] > 1 + noise[name].given for name in signals):
        return None
    groups, kinds = [], []
    for number, (name, signal) in enumerate(signals.items()):
        draw = noise[name]
        level_index = draw.level_index.expand(len(signal.clean), -1)
        if draw.given:  # what is given is in no group
            level_index = torch.where(level_index == draw.levels.shape[1] - 1, -1, level_index)
        groups.append(level_index)
        kinds.append(torch.full_like(level_index, number))
    group, kind = torch.cat(groups, 1), torch.cat(kinds, 1)
    free = (group[:, :, None] < 0) | (group[:, None, :] < 0)
    return (group[:, :, None] == group[:, None, :]) | (kind[:, :, None] != kind[:, None, :]) | free


def _repeats(noisy: dict[str, Tensor], clip: Clip) -> int:
    """Noise samples per observation."""
    return len(next(iter(noisy.values()))) // len(clip.state)


def _align(
    model: WorldModel,
    teacher: WorldModel | None,
    clip: Clip,
    signals: dict[str, Present],
    noise: dict[str, NoiseSample],
    objective: ObjectiveConfig,
    after: tuple[list[Tensor], list[Tensor]],
    allowed: Tensor | None,
) -> Losses:
    """Agreement of the student's features with the teacher's, of the same tokens at the smaller noise level."""
    if teacher is None or model.projector is None:
        raise ValueError(f"objective {objective.name} needs an EMA teacher and a model built with projector=True")
    student_tap, teacher_tap = objective.taps(model.config.backbone.depth)
    (observed, wanted), centre = after, objective.centre
    with torch.no_grad():
        cleaner = {name: draw.teacher() for name, draw in noise.items()}
        context = teacher.observe(clip, cleaner.get("observed"), later(teacher, clip, noise))
        noisy = {name: mix(s.clean, cleaner[name].eps, cleaner[name].noise()) for name, s in signals.items()}
        sequence, kv = teacher.sequence(noisy, cleaner, clip.at), context.repeat(_repeats(noisy, clip)).kv
        target = teacher.backbone.run(sequence, kv, teacher_tap, allowed)[0][-1]
    align = alignment(model.projector(wanted[student_tap]), target, centre)
    if "observed" in noise:
        deep = context.after[min(teacher_tap, len(context.after) - 1)]
        align = (align + alignment(model.projector(observed[student_tap]), deep, centre)) / 2
    # Two baselines: a student that predicts what all samples share, and one that copies its own features
    apart = target - target.mean(0, keepdim=True) if centre else target
    identity = -alignment(wanted[student_tap].detach(), target, centre)
    return {"align": align, "mean_direction": mean_direction(apart), "identity": identity}


def _repa_loss(model: WorldModel, clip: Clip, features: Tensor, noisy: dict[str, Tensor]) -> Tensor:
    """REPA: minus the cosine between projected frame features and a frozen encoder's features of the clean frames."""
    if model.external is None or clip.features is None:
        raise ValueError("objective repa needs features of a frozen encoder: run `worldmodel encode`, give features=")
    first = noisy["actions"].shape[1] if "actions" in noisy else 0
    projected = model.external(features[:, first : first + noisy["frames"].shape[1]])
    return alignment(projected, clip.features.flatten(1, 3).to(projected.device))
