"""Diagnostics of representation losses: values by hand, and an alarm that goes off once, early, and only for cause."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small import small_clip, small_model, small_store
from torch.nn import functional as F

from research.probe.features import layers_of
from worldmodel.backbone import BackboneConfig
from worldmodel.flow import NoiseSample
from worldmodel.objectives import ObjectiveConfig, loss
from worldmodel.train import TrainConfig, train
from worldmodel.train.config import LogConfig, ModesConfig, ValidationConfig
from worldmodel.train.diagnostics import drift, few, gradient_ratio, saturation
from worldmodel.train.log import Log
from worldmodel.train.plots import plot


def test_drift_is_the_relative_distance_of_weights_and_average() -> None:
    model, ema = torch.nn.Linear(2, 1, bias=False), torch.nn.Linear(2, 1, bias=False)
    model.weight.data = torch.tensor([[3.0, 4.0]])
    ema.weight.data = torch.tensor([[3.0, 3.0]])
    assert drift(model, ema) == pytest.approx(1 / 5)
    assert drift(model, model) == 0


def test_gradient_ratio_by_hand() -> None:
    model = small_model()
    bias = model.backbone.final
    # Losses whose gradients on the backbone are known: 2 per element of a vector, and 6 per element of the same.
    found = {"align": (2.0 * bias).sum(), "actions": (6.0 * bias).sum()}
    found["loss"] = found["actions"] + 0.8 * found["align"]
    assert gradient_ratio(model, found, ObjectiveConfig(align=0.8)) == pytest.approx(0.8 * 2 / 6, rel=1e-5)
    assert all(parameter.grad is None for parameter in model.parameters()), "it leaves no gradients behind"
    plain = {"actions": (6.0 * bias).sum(), "loss": (6.0 * bias).sum()}
    assert gradient_ratio(model, plain, ObjectiveConfig()) is None


def test_gradient_ratio_counts_every_representation_loss_with_its_weight() -> None:
    model = small_model()
    bias = model.backbone.final
    found = {"external": bias.sum(), "disperse": (3.0 * bias).sum(), "loss": (10.5 * bias).sum()}
    assert gradient_ratio(model, found, ObjectiveConfig(external=0.5, disperse=1.0)) == pytest.approx(3.5 / 7, rel=1e-5)


def test_few_keeps_an_observation_with_all_its_noise_samples() -> None:
    clip, eps = small_clip(batch=6), torch.arange(12.0)[:, None, None]
    draws = {
        "actions": NoiseSample(eps, torch.rand(12, 2), torch.zeros(12, 1, dtype=torch.int64), torch.rand(12, 1)),
        "observed": NoiseSample(eps[:6], torch.rand(6, 1), torch.zeros(1, 1, dtype=torch.int64)),
    }
    mode, part, noise = few(("policy", clip, draws), rows=2)
    assert mode == "policy" and len(part.state) == len(part.future) == 2
    assert noise["actions"].eps.flatten().tolist() == [0, 1, 2, 3] and len(noise["actions"].nearer) == 4
    assert len(noise["observed"].levels) == 2 and noise["observed"].level_index.shape == (1, 1)


def row(step: int, cosine: float, free: float, mode: str = "forward") -> dict[str, float]:
    return {"step": step, f"{mode}/align": -cosine, f"{mode}/mean_direction": free}


def test_the_alarm_goes_off_once_and_says_what_to_try() -> None:
    rows = [row(20, 0.5, 0.3), row(40, 0.95, 0.93)]
    said = saturation(rows, steps=1000)
    assert said is not None and "cosine 0.95, 0.93 is to be had for nothing" in said and "\n" not in said
    for remedy in ("objective.centre=true", "objective.student", "noise.frames.masked"):
        assert remedy in said
    assert saturation([*rows, row(60, 0.96, 0.95)], steps=1000) is None, "once"
    same = {"step": 40, "joint/align": -0.93, "joint/mean_direction": 0.1, "joint/identity": 0.9}
    assert "joint" in (saturation([same], steps=1000) or ""), "copying one's own features costs nothing either"


@pytest.mark.parametrize(
    "rows",
    [
        [row(40, 0.95, 0.6)],  # high, and earned
        [row(40, 0.7, 0.69)],  # low
        [row(400, 0.95, 0.94)],  # late
        [{"step": 40, "policy/actions": 0.1}],  # no representation loss
        [row(40, 0.95, 0.94), {"step": 40, "held_out/policy": 0.2}],  # told a row ago
    ],
)
def test_the_alarm_keeps_quiet(rows: list[dict[str, float]]) -> None:
    assert saturation(rows, steps=1000) is None


def test_a_run_logs_them_and_draws_a_second_line_of_plots(tmp_path: Path) -> None:
    small_store(tmp_path / "data")
    config = TrainConfig(
        data=str(tmp_path / "data"),
        out=str(tmp_path / "run"),
        steps=2,
        batch=4,
        compile=False,
        patch=8,
        backbone=BackboneConfig(width=32, depth=2, heads=2),
        modes=ModesConfig(policy=0, joint=0, forward=1, inverse=0, video=0),
        objective=ObjectiveConfig(name="self_flow"),
        log=LogConfig(every=1),
        validation=ValidationConfig(every=0),
    )
    train(config)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    told = {name for line in rows for name in line}
    wanted = {"align", "mean_direction", "identity", "asymmetry", "gradient_ratio"}
    assert {f"forward/{name}" for name in wanted} | {"ema_drift"} <= told
    assert all(line["forward/gradient_ratio"] > 0 for line in rows if "forward/align" in line)
    train(replace(config, steps=1, out=str(tmp_path / "plain"), objective=ObjectiveConfig()))
    assert "gradient_ratio" not in (tmp_path / "plain" / "metrics.jsonl").read_text()
    tall, flat = ((tmp_path / name / "metrics.png").read_bytes()[20:24] for name in ("run", "plain"))
    assert int.from_bytes(tall, "big") == 2 * int.from_bytes(flat, "big")


def test_an_alignment_is_drawn_as_a_cosine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    drawn: dict[str, tuple[float, ...]] = {}
    monkeypatch.setattr(Axes, "plot", lambda self, x, y, label, **_: drawn.update({label: tuple(y)}))
    log = Log(tmp_path, 0)
    log.write({"step": 20, "forward/align": -0.4, "forward/frames": 0.2, "ema_drift": 0.01})
    plot(log.rows, tmp_path / "metrics.png")
    assert drawn == {"-forward/align": (0.4,), "forward/frames": (0.2,), "ema_drift": (0.01,)}


def test_identity_and_mean_direction_see_what_the_loss_sees() -> None:
    """With ``centre`` both baselines are those of the centred target."""
    model, ema, clip = small_model(projector=True), small_model(projector=True), small_clip(batch=4)
    generator = torch.Generator().manual_seed(3)
    shape = model.frames.shape(4, 2)
    level_index = (torch.rand(4, shape[1], generator=generator) < 0.3).long()
    noise = {
        "frames": NoiseSample(
            torch.randn(shape, generator=generator), torch.rand(4, 2, generator=generator), level_index
        ),
    }
    found = {
        centre: loss(model, clip, "video", noise, ObjectiveConfig(name="self_flow", centre=centre), ema)
        for centre in (False, True)
    }
    assert found[True]["mean_direction"] < 0 < found[False]["mean_direction"], "centred features point apart"
    cleaner = {"frames": noise["frames"].teacher()}
    layers = [layers_of(model, clip, "video", draw).wanted for draw in (noise, cleaner)]
    by_hand = F.cosine_similarity(layers[0][0], layers[1][1], dim=-1).mean()
    assert float(found[False]["identity"]) == pytest.approx(float(by_hand), abs=1e-5)
